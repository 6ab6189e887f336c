"""The commands of ``bridge``, one module each, named like its command.

A module is imported when its command is called and no sooner, so that ``bridge doctor`` does not
load a speech recogniser.  It holds one :class:`click.Command` named ``command``, and is listed with
its one line of help in :data:`bridge.cli.COMMANDS`.
"""
