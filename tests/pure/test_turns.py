"""Turn-taking, driven by lines of events on a clock of its own."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.phrases import words
from bridge.turns import (
    BargeIn,
    Decision,
    DetectorAsked,
    FalseAlarm,
    Interrupted,
    SpeechPaused,
    SpeechStarted,
    Turn,
    TurnEnded,
    TurnExpected,
    TurnRevoked,
    TurnSettings,
    TurnTaking,
)
from telnyx_media.transcripts import Transcript

WINDOW = 0.032
SECOND = 1.0


@dataclass(frozen=True)
class AgentMoved:
    """The agent began or stopped, in the order of the decisions."""


class Line:
    """A leg on which things happen at set times; polls as the bridge would."""

    def __init__(
        self,
        turn_settings: TurnSettings | None = None,
        detector: Callable[[str], bool | float] | None = None,
    ) -> None:
        self.turns = TurnTaking(turn_settings)
        self._detector = detector
        self.decided: list[tuple[float, Decision | AgentMoved]] = []
        self._events: list[tuple[float, int, Callable[[float], object]]] = []
        self._order = itertools.count()

    def at(self, when: float, event: Callable[[float], object]) -> Line:
        """Have something happen."""
        heapq.heappush(self._events, (when, next(self._order), event))
        return self

    def sound(
        self,
        start: float,
        end: float,
        probability: float = 0.95,
        *,
        level: float | None = None,
        playing: float | None = None,
    ) -> Line:
        """Have the detector hear windows of sound, and silence around them."""
        count = round((end - start) / WINDOW)
        for index in range(count):
            self.at(
                start + (index + 1) * WINDOW,
                lambda now: self.turns.voice(probability, now, level=level, playing=playing),
            )
        for index in range(count, count + 8):
            self.at(start + (index + 1) * WINDOW, lambda now: self.turns.voice(0.02, now))
        return self

    def levels(self, level: Callable[[float], float], until: float = 4.0) -> Line:
        """Have packets of some levels in dBFS, by when each is complete."""
        for index in range(round(until / 0.02)):
            at = (index + 1) * 0.02
            self.at(at, functools.partial(self.turns.sound, level(at)))
        return self

    def text(
        self, when: float, text: str, *, final: bool = True, ends: bool = False, sure: float = 0.9
    ) -> Line:
        """Have the recogniser say something."""
        transcript = Transcript(
            text, is_final=final, speech_final=ends, confidence=sure if final else 0.0
        )
        return self.at(when, lambda now: self.turns.transcript(transcript, now))

    def agent(
        self, start: float, end: float | None, *says: str, interruptible: bool = True
    ) -> Line:
        """Have the agent speak, unless it has lost the floor by then."""

        def begin(now: float) -> None:
            self.decided.append((now, AgentMoved()))
            self.turns.agent_started(now, interruptible=interruptible)
            for sentence in says:
                self.turns.agent_says(sentence)

        def stop(now: float) -> None:
            self.decided.append((now, AgentMoved()))
            self.turns.agent_stopped(now)

        self.at(start, begin)
        if end is not None:
            self.at(end, stop)
        return self

    def key(self, when: float, digit: str) -> Line:
        """Have the caller press a key."""
        return self.at(when, lambda now: self.turns.digit(digit, now))

    def run(self, until: float = 60.0) -> list[tuple[float, Decision | AgentMoved]]:
        """Let it all happen, and get the decisions with their times."""
        while True:
            deadline = self.turns.deadline
            next_event = self._events[0][0] if self._events else float("inf")
            now = min(next_event, float("inf") if deadline is None else deadline)
            if now > until:
                return self.decided
            if next_event <= now:
                now, _, event = heapq.heappop(self._events)
                event(now)
            decided = self.turns.poll(now)
            self.decided += [(now, decision) for decision in decided]
            for decision in decided:
                if isinstance(decision, DetectorAsked) and self._detector is not None:
                    verdict = self._detector(decision.text)
                    self.turns.judged(decision, verdict, now)
                    self.decided += [(now, more) for more in self.turns.poll(now)]
            after = self.turns.deadline
            assert after is None or after > now, "polling must get somewhere"

    def of(self, *kinds: type) -> list[tuple[float, Decision | AgentMoved]]:
        """Get the decisions of some kinds."""
        return [(when, decision) for when, decision in self.run() if isinstance(decision, kinds)]

    def ended(self) -> list[tuple[float, Turn]]:
        """Get the turns, each with the time at which it was known to be over."""
        return [(when, d.turn) for when, d in self.run() if isinstance(d, TurnEnded)]

    def names(self) -> list[str]:
        """Get the names of the decisions, but of those that only tell of the voice."""
        names = [type(d).__name__ for _, d in self.run() if not isinstance(d, AgentMoved)]
        return [name for name in names if not name.startswith(("Speech", "Detector"))]


# Endpointing


def test_silence_ends_a_turn() -> None:
    """A turn ends when the caller has been silent for the endpoint."""
    line = Line(TurnSettings(endpoint=0.5)).sound(1.0, 2.28).text(2.4, "I want a table")

    ((when, turn),) = line.ended()

    assert when == pytest.approx(turn.ended_at + 0.5)
    assert turn.ended_at == pytest.approx(2.28)
    assert turn.started_at == pytest.approx(1.0)
    assert turn.text == "I want a table"
    assert turn.confidence == pytest.approx(0.9)
    assert turn.digits == ""


def spoken(line: Line, start: float, end: float, *, quiet: float, hang: float = 0.096) -> Line:
    """Have a voice of -20 dBFS end, whose end the detector notices late, on a line with noise."""
    line.levels(lambda now: -20.0 if start < now < end + 0.001 else quiet)
    for index in range(round((end + hang - start) / WINDOW)):
        line.at(start + (index + 1) * WINDOW, lambda now: line.turns.voice(0.9, now))
    return line


@pytest.mark.parametrize(("seconds", "pauses"), [(0.3, 1), (0.8, 2)])
def test_a_stream_that_stalls_is_no_silence(seconds: float, pauses: int) -> None:
    """The recogniser is not hurried amid a word that is late, but when the stream has ended."""
    line = Line()
    for at in (1.0, 1.96 + seconds):
        for index in range(30):
            line.at(at + (index + 1) * WINDOW, lambda now: line.turns.voice(0.95, now))
    line.sound(2.92 + seconds, 2.92 + seconds)
    line.run()
    assert len(line.of(SpeechPaused)) == pauses


@pytest.mark.parametrize("quiet", [-90.0, -60.0, -45.0])
def test_voice_ends_with_its_last_sound(quiet: float) -> None:
    """The silence is counted from the last sound, however long the detector goes on after it."""
    ((when, turn),) = spoken(Line(), 1.0, 2.0, quiet=quiet).text(2.2, "I want a table").ended()

    assert turn.ended_at == pytest.approx(2.0, abs=0.001)
    assert when == pytest.approx(2.5, abs=0.001)


def test_voice_ends_where_the_detector_says_so_if_something_else_is_heard() -> None:
    """A noise that goes on behind the voice is no voice."""
    line = Line().text(2.2, "I want a table")
    line.levels(lambda now: -20.0 if 1.0 < now < 2.4 else -70.0)

    ((_, turn),) = line.sound(1.0, 2.024).ended()

    assert turn.ended_at == pytest.approx(2.02, abs=0.005)


def test_quiet_syllable_is_part_of_the_voice() -> None:
    """A last word 20 dB below the loudest is no silence."""
    line = Line().text(2.5, "I want a table")
    line.levels(lambda now: -15.0 if 1.0 < now < 1.5 else -35.0 if 1.4 < now < 2.001 else -75.0)

    ((_, turn),) = line.sound(1.0, 2.088).ended()

    assert turn.ended_at == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize(
    ("text", "chosen"), [("A table.", 0.5), ("A table?", 0.35), ("A table and", 1.3)]
)
def test_turn_tells_what_silence_was_chosen(text: str, chosen: float) -> None:
    """Who measures how soon the agent answers can tell waiting from being late."""
    [(_, ended)] = Line().sound(1.0, 2.0).text(2.9, text).of(TurnEnded)

    assert isinstance(ended, TurnEnded)
    assert ended.chosen == pytest.approx(chosen)


def test_turn_that_the_engine_ended_chose_no_silence() -> None:
    """An engine's own end-of-speech event is not waited for in seconds."""
    line = Line(TurnSettings(endpointing="engine"))
    [(_, ended)] = line.sound(1.0, 2.0).text(2.1, "and so", ends=True).of(TurnEnded)

    assert isinstance(ended, TurnEnded)
    assert ended.chosen is None


@pytest.mark.parametrize("text", ["Can I book a table?", "Yes", "No, thanks.", "That's all."])
def test_complete_phrase_ends_sooner(text: str) -> None:
    """After a complete phrase the silence may be shorter."""
    ((when, turn),) = Line().sound(1.0, 2.0).text(2.1, text).ended()

    assert when - turn.ended_at < 0.4


@pytest.mark.parametrize(
    "text",
    ["I would like, um", "A table for", "Tomorrow and", "On Friday,", "Let me see...", "With my."],
)
def test_hesitation_is_waited_for(text: str) -> None:
    """After a hesitation the caller gets more time."""
    ((when, turn),) = Line().sound(1.0, 2.0).text(2.1, text).ended()

    assert when - turn.ended_at == pytest.approx(1.3)


@pytest.mark.parametrize(("sure", "delay"), [(0.95, 0.5), (0.825, 0.9), (0.6, 1.3), (0.0, 0.5)])
def test_text_that_the_recogniser_doubts_is_given_more_time(sure: float, delay: float) -> None:
    """The less sure the words, the less they tell of the end; a confidence of 0 is none at all."""
    ((when, turn),) = Line().sound(1.0, 2.0).text(2.1, "A table, sir.", sure=sure).ended()

    assert when - turn.ended_at == pytest.approx(delay)


def test_who_pauses_and_goes_on_may_pause_as_long_again() -> None:
    """Within a turn, a pause that was not its end is allowed once more."""
    line = Line().sound(1.0, 2.0).text(2.1, "Ask not,").sound(2.9, 3.9).text(4.0, "A table?")

    ((when, turn),) = line.ended()

    assert turn.text == "Ask not, A table?"
    assert when - turn.ended_at == pytest.approx(2.9 - 2.0, abs=0.01)


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        ("my number is five five five", True),
        ("it's 555 01", True),
        ("555, 0123.", True),
        ("five five five oh one two three four five six", False),
        ("555 012 3456", False),
        ("for seven people", False),
        ("at half past seven.", False),
    ],
)
def test_number_is_waited_for(text: str, unfinished: bool) -> None:
    """In the middle of a number read out the caller gets more time."""
    ((when, turn),) = Line().sound(1.0, 2.0).text(2.1, text).ended()

    assert (when - turn.ended_at > 1.4) == unfinished


def test_caller_who_goes_on_is_not_cut() -> None:
    """A pause shorter than the endpoint joins what is before and after it into one turn."""
    line = Line().sound(1.0, 2.0).text(2.2, "I would like").sound(2.4, 3.4)
    line.text(3.6, "a table for four")

    ((_, turn),) = line.ended()

    assert turn.text == "I would like a table for four"
    assert turn.started_at == pytest.approx(1.0)


@pytest.mark.parametrize("late", [0.06, 0.3, 0.8, 1.3])
def test_late_final_is_waited_for(late: float) -> None:
    """A turn waits for the words of a sound, and ends as soon as they are there."""
    ((when, turn),) = Line().sound(1.0, 2.0).text(2.0 + late, "a table please.").ended()

    assert turn.text == "a table please."
    assert when == pytest.approx(max(turn.ended_at + 0.35, 2.0 + late))


def test_final_that_comes_within_the_sound_is_not_all() -> None:
    """A final that arrives while the caller speaks on does not stand for what they still say."""
    line = Line().sound(1.0, 3.0).text(2.0, "I would like").text(3.9, "a table.")

    ((_, turn),) = line.ended()

    assert turn.text == "I would like a table."


def test_interim_is_enough_when_no_final_comes() -> None:
    """A turn whose final never comes is given with its last interim, after a bounded wait."""
    line = Line().sound(1.0, 2.0).text(1.9, "a table", final=False)

    ((when, turn),) = line.ended()

    assert turn.text == "a table"
    assert when < 3.6


def test_final_that_repeats_a_given_interim_is_no_second_turn() -> None:
    """The final of words that were already given as a turn is dropped."""
    line = Line().sound(1.0, 2.0).text(1.9, "a table for for", final=False)
    line.text(4.0, "A table for four.")

    assert len(line.ended()) == 1


def test_sound_without_words_is_no_turn() -> None:
    """A cough while the agent is silent ends in nothing."""
    line = Line().sound(1.0, 1.3)

    assert line.ended() == []
    assert line.turns.quiet_since is not None
    assert line.turns.deadline is None


def test_words_without_sound_are_a_turn() -> None:
    """What the detector missed and the recogniser heard is a turn."""
    ((when, turn),) = Line().text(2.0, "a table").ended()

    assert turn.text == "a table"
    assert when == pytest.approx(2.5)


def test_words_without_sound_end_with_the_engines_event() -> None:
    """Where no voice was heard, the engine's end of speech is taken."""
    ((when, _),) = Line().text(2.0, "a table", ends=True).ended()

    assert when == pytest.approx(2.0)


def test_engine_may_decide() -> None:
    """Set so, the engine's end-of-speech event ends the turn at once, silence only much later."""
    by_engine = TurnSettings(endpointing="engine")
    ((when, _),) = Line(by_engine).sound(1.0, 2.0).text(2.1, "and so", ends=True).ended()
    assert when == pytest.approx(2.1)

    ((when, turn),) = Line(by_engine).sound(1.0, 2.0).text(2.1, "and so").ended()
    assert when - turn.ended_at == pytest.approx(1.5)


def test_either_takes_what_comes_first_unless_the_caller_hesitates() -> None:
    """Set to either, the engine ends a phrase early, but not a hesitation."""
    either = TurnSettings(endpointing="either")
    ((when, _),) = Line(either).sound(1.0, 2.0).text(2.25, "a table", ends=True).ended()
    assert when == pytest.approx(2.25)

    ((when, turn),) = Line(either).sound(1.0, 2.0).text(2.25, "a table and", ends=True).ended()
    assert when - turn.ended_at == pytest.approx(1.3)


def test_engines_event_does_not_end_a_turn_by_silence() -> None:
    """Set to silence, the default, an engine that is hasty does not cut the caller off."""
    line = Line().sound(1.0, 2.0).text(2.02, "I want", ends=True).sound(2.3, 3.0)
    line.text(3.1, "a table", ends=True)

    ((_, turn),) = line.ended()

    assert turn.text == "I want a table"


def test_noise_without_words_does_not_keep_a_turn_open() -> None:
    """A voice that goes on without a word for seconds, a television say, does not hold a turn."""
    line = Line().sound(1.0, 20.0).text(1.8, "a", final=False).text(2.0, "a table")

    ((when, turn),) = line.ended()

    assert turn.text == "a table"
    assert when == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("verdict", "delay"), [(True, 0.2), (False, 1.3), (1.0, 0.35), (0.0, 1.3), (0.5, 0.825)]
)
def test_detector_replaces_the_rules(verdict: bool | float, delay: float) -> None:
    """A detector of one's own is asked about the pause and decides how long it must be."""
    line = Line(TurnSettings(detector=True), lambda text: verdict)
    line.sound(1.0, 2.0).text(2.1, "a table and")

    ((when, turn),) = line.ended()
    ((asked_at, asked),) = line.of(DetectorAsked)

    assert isinstance(asked, DetectorAsked)
    assert asked.text == "a table and"
    assert asked.started_at == pytest.approx(1.0)
    assert asked_at - turn.ended_at == pytest.approx(0.2)
    assert when - turn.ended_at == pytest.approx(delay)


def test_detector_is_asked_again_in_the_next_pause() -> None:
    """Each pause is judged anew, and so is a text that came late."""
    asked: list[str] = []

    def detector(text: str) -> float:
        asked.append(text)
        return 0.0 if len(asked) == 1 else 1.0

    line = Line(TurnSettings(detector=True), detector).sound(1.0, 2.0).text(2.1, "a table")
    line.sound(2.6, 3.2).text(3.3, "for four").text(3.45, "people")

    assert len(line.ended()) == 1
    assert asked == ["a table", "a table for four", "a table for four people"]


def test_detector_that_does_not_answer_costs_no_more_than_a_hesitation() -> None:
    """A turn ends without its detector, and a late answer changes nothing."""
    line = Line(TurnSettings(detector=True)).sound(1.0, 2.0).text(2.1, "a table.")

    ((when, turn),) = line.ended()
    ((_, asked),) = line.of(DetectorAsked)
    assert isinstance(asked, DetectorAsked)
    line.turns.judged(asked, True, when + 1)

    assert when - turn.ended_at == pytest.approx(1.3)
    assert len(line.ended()) == 1


def test_finals_can_be_asked_for_when_the_voice_pauses() -> None:
    """A pause is told before the turn's end, once, so that the recogniser can be hurried."""
    line = Line().sound(1.0, 2.0).text(2.4, "a table")

    (started,) = line.of(SpeechStarted)
    ((when, decision),) = line.of(SpeechPaused)

    assert started[0] <= 1.15
    assert when == pytest.approx(2.25, abs=WINDOW)
    assert isinstance(decision, SpeechPaused)
    assert decision.at == pytest.approx(2.0, abs=WINDOW)


def test_turn_is_expected_early_and_taken_back() -> None:
    """Set so, a turn is announced before it is certain, and revoked when the caller goes on."""
    line = Line(TurnSettings(expect=0.1)).sound(1.0, 2.0).text(2.05, "a table")
    line.sound(2.4, 3.0).text(3.1, "for four")

    kinds = [d for _, d in line.of(TurnExpected, TurnRevoked, TurnEnded)]

    assert [type(kind) for kind in kinds] == [TurnExpected, TurnRevoked, TurnExpected, TurnEnded]
    assert isinstance(kinds[0], TurnExpected)
    assert kinds[0].turn.text == "a table"
    assert isinstance(kinds[3], TurnEnded)
    assert kinds[3].turn.text == "a table for four"


def test_engine_may_expect_a_turn_and_take_it_back() -> None:
    """Eager events begin and end an expectation; a final confirms one by the same words."""
    line = Line(TurnSettings(expect=0.2)).sound(1.0, 2.0)
    early = Transcript("a table", is_final=False, eager=True)
    line.at(2.05, lambda now: line.turns.transcript(early, now))
    again = Transcript("a table", is_final=False, resumed=True)
    line.at(2.2, lambda now: line.turns.transcript(again, now)).sound(2.3, 3.0)
    more = Transcript("a table for four", is_final=False, eager=True)
    line.at(3.05, lambda now: line.turns.transcript(more, now))
    line.text(3.2, "A table for four.", ends=True)

    kinds = line.of(TurnExpected, TurnRevoked, TurnEnded)

    assert [(when, type(kind)) for when, kind in kinds[:3]] == [
        (2.05, TurnExpected),
        (2.2, TurnRevoked),
        (3.05, TurnExpected),
    ]
    assert [type(kind) for _, kind in kinds[3:]] == [TurnEnded]


def test_engines_expectations_are_ignored_unless_they_are_wanted() -> None:
    """Replies are begun early only where the settings say so."""
    line = Line().sound(1.0, 2.0)
    early = Transcript("a table", is_final=False, eager=True)
    line.at(2.05, lambda now: line.turns.transcript(early, now))

    assert not line.of(TurnExpected)


# Digits


def test_digits_make_a_turn() -> None:
    """Keys pressed one after the other are one turn, over when no more come."""
    line = Line().key(1.0, "4").key(1.8, "2")

    ((when, turn),) = line.ended()

    assert turn == Turn(digits="42", started_at=1.0, ended_at=1.8)
    assert when == pytest.approx(3.3)


def test_terminator_ends_digits_at_once() -> None:
    """The key that ends an entry does not wait for another."""
    line = Line().key(1.0, "4").key(1.5, "#").key(1.6, "7")

    assert [(when, turn.digits) for when, turn in line.ended()] == [(1.5, "4#"), (3.1, "7")]


def test_key_interrupts_the_agent() -> None:
    """A key pressed while the agent speaks stops it for good, unless it may not be stopped."""
    line = Line().agent(0.0, None, "Press one for sales.").key(1.0, "1")
    assert line.names() == ["BargeIn", "Interrupted", "TurnEnded"]

    line = Line().agent(0.0, 5.0, interruptible=False).key(1.0, "1")
    assert line.names() == ["TurnEnded"]


# Barge-in


def test_barge_in_is_fast() -> None:
    """From the start of speech to the decision pass at most 150 ms of audio."""
    for offset in range(8):
        start = 1.0 + offset * 0.004
        line = Line().agent(0.0, None)
        # The window in which the speech begins is mostly silence.
        line.at(1.0 + WINDOW, lambda now: line.turns.voice(0.3, now))  # noqa: B023 - run below
        line.sound(1.0 + WINDOW, 2.0)

        ((when, _),) = line.of(BargeIn)

        assert when - start <= 0.15


@pytest.mark.parametrize(("windows", "least"), [(1, 0.06), (2, 0.09)])
def test_click_does_not_stop_the_agent(windows: int, least: float) -> None:
    """What is shorter than the least speech is none, however often it comes."""
    line = Line(TurnSettings(min_speech=least)).agent(0.0, 9.0)
    for again in range(10):
        line.sound(1.0 + again * 0.4, 1.0 + again * 0.4 + windows * WINDOW, 1.0)

    assert line.names() == []


@pytest.mark.parametrize(("interim", "when"), [("no I want", 1.6), ("no", 2.2)])
def test_words_make_an_interruption(interim: str, when: float) -> None:
    """Speech stops the agent at once; some words, or the first that are final, decide."""
    line = Line().agent(0.0, None, "We have a table at seven.")
    line.sound(1.0, 2.0).text(1.6, interim, final=False).text(2.2, "No, I want it at eight.")

    assert line.names() == ["BargeIn", "Interrupted", "TurnEnded"]
    assert [when for when, _ in line.of(Interrupted)] == [when]
    assert line.ended()[0][1].text == "No, I want it at eight."


def test_what_is_first_made_of_a_short_sound_decides_nothing() -> None:
    """An "uh-huh" whose interim is a word, or two, is a backchannel when its final says so."""
    line = Line().agent(0.0, 9.0).sound(1.0, 1.4)
    line.text(1.5, "I. T.", final=False).text(1.7, "I see.")

    assert line.names() == ["BargeIn", "FalseAlarm"]
    assert [when for when, _ in line.of(FalseAlarm)] == [1.7]


def test_words_whose_final_never_comes_interrupt_all_the_same() -> None:
    """What was only ever an interim is taken for the caller's when its wait is over."""
    line = Line().agent(0.0, 9.0).sound(1.0, 1.4).text(1.5, "stop", final=False)

    assert line.names() == ["BargeIn", "Interrupted", "TurnEnded"]


def test_word_that_the_recogniser_hardly_believes_is_none() -> None:
    """A hum that was made a word of does not take the floor from the agent."""
    line = Line().agent(0.0, 9.0).sound(1.0, 1.4).text(1.55, "Ever.", sure=0.4)
    assert line.names() == ["BargeIn", "FalseAlarm"]

    line = Line().agent(0.0, 9.0).sound(1.0, 1.4).text(1.55, "Ever.", sure=0.7)
    assert line.names() == ["BargeIn", "Interrupted", "TurnEnded"]


def test_stop_is_believed_however_badly_it_was_understood() -> None:
    """A word by which one breaks in takes the floor."""
    line = Line().agent(0.0, 9.0).sound(1.0, 1.4).text(1.55, "Stop.", sure=0.4)

    assert line.names() == ["BargeIn", "Interrupted", "TurnEnded"]


def test_caller_who_insists_is_believed() -> None:
    """Of two short sounds in a row the second takes the floor with any word."""
    line = Line().agent(0.0, None).sound(1.0, 1.3).text(1.5, "Ever.", sure=0.4)
    line.sound(2.0, 2.4).text(2.7, "Leaf.", sure=0.4)

    assert line.names() == ["BargeIn", "FalseAlarm", "BargeIn", "Interrupted", "TurnEnded"]


def test_mumble_as_faint_as_the_agents_echo_is_no_turn() -> None:
    """What noise makes of the echo does not repeat the agent, and is not believed to be words."""

    def echoing(sure: float) -> Line:
        line = Line().agent(0.0, 9.0, "On Mondays we are closed.")
        line.sound(0.5, 3.0, level=-38.0, playing=-18.0)
        return line.text(3.2, "Our man Dave is clothed.", sure=sure)

    assert echoing(0.6).names() == []
    assert echoing(0.95).names() == ["BargeIn", "Interrupted", "TurnEnded"]


def test_second_sound_is_given_time_for_its_words() -> None:
    """What follows a false alarm at once is the next word: its own words are waited for."""
    line = Line().agent(0.0, None).sound(1.0, 1.3).sound(2.0, 2.4).text(2.9, "Stop, please.")

    assert line.names() == ["BargeIn", "FalseAlarm", "BargeIn", "Interrupted", "TurnEnded"]


def test_cough_is_a_false_alarm() -> None:
    """A short sound without words lets the agent go on within 300 ms."""
    line = Line().agent(0.0, 9.0).sound(1.0, 1.3)

    ((when, _),) = line.of(FalseAlarm)

    assert line.names() == ["BargeIn", "FalseAlarm"]
    assert when - 1.3 <= 0.3
    assert line.ended() == []


@pytest.mark.parametrize("text", ["Uh-huh.", "mm-hmm", "Yeah, okay.", "I see.", "right"])
def test_backchannel_is_a_false_alarm(text: str) -> None:
    """A listener's "uh-huh" lets the agent go on as soon as it is recognised, and is no turn."""
    line = Line().agent(0.0, 9.0).sound(1.0, 1.4).text(1.55, text)

    ((when, _),) = line.of(FalseAlarm)

    assert when == pytest.approx(1.64, abs=0.1)
    assert line.ended() == []


def test_backchannel_depends_on_the_language() -> None:
    """What is a backchannel in one language interrupts in another."""
    german = Line(TurnSettings(language="de-DE")).agent(0.0, 9.0)
    english = Line().agent(0.0, 9.0)
    for line in (german, english):
        line.sound(1.0, 1.4).text(1.55, "genau")

    assert not german.of(Interrupted)
    assert english.of(Interrupted)


def test_yeah_at_the_agents_end_is_an_answer() -> None:
    """What would be a backchannel is a turn when the agent ends right after it."""
    line = Line().agent(0.0, 2.2, "Is that right?").sound(1.0, 1.4).text(1.55, "Yeah.")

    assert [turn.text for _, turn in line.ended()] == ["Yeah."]


def test_longer_speech_waits_for_its_words() -> None:
    """After a second of speech the agent stays silent until late words come."""
    line = Line().agent(0.0, None).sound(1.0, 2.2).text(2.8, "I want to cancel.")

    assert not line.of(FalseAlarm)
    assert [when for when, _ in line.of(Interrupted)] == [2.8]


def test_long_speech_is_waited_out_with_an_engine_without_interims() -> None:
    """A caller who speaks for seconds is not talked over because no words have come yet."""
    line = Line().agent(0.0, None).sound(1.0, 4.5).text(5.0, "I want to cancel my table.")

    assert not line.of(FalseAlarm)
    assert line.of(Interrupted)


def test_words_after_a_false_alarm_interrupt() -> None:
    """A recogniser that comes too late for the decision still stops the agent."""
    line = Line().agent(0.0, None).sound(1.0, 1.4).text(2.1, "Stop!")

    assert line.names() == ["BargeIn", "FalseAlarm", "BargeIn", "Interrupted", "TurnEnded"]


def test_more_words_can_be_asked_for() -> None:
    """With a minimum of words a shorter remark is a false alarm."""
    setting = TurnSettings(min_words=2)
    line = Line(setting).agent(0.0, 9.0).sound(1.0, 1.4).text(1.6, "Hello")
    assert not line.of(Interrupted)

    line = Line(setting).agent(0.0, 9.0).sound(1.0, 1.4).text(1.6, "Hello there")
    assert line.of(Interrupted)


@pytest.mark.parametrize("setting", [TurnSettings(barge_in=False), TurnSettings()])
def test_reply_that_may_not_be_interrupted(setting: TurnSettings) -> None:
    """Speech over such a reply stops nothing; its words are a turn."""
    line = Line(setting).agent(0.0, 9.0, interruptible=setting.barge_in is False)
    line.sound(1.0, 2.0).text(2.1, "I want a table")

    assert not line.of(BargeIn, Interrupted, FalseAlarm)
    assert len(line.ended()) == 1


def test_recognised_echo_is_dropped() -> None:
    """Text that repeats what the agent is saying neither interrupts nor becomes a turn."""
    line = Line().agent(0.0, 9.0, "We have a table for four at half past seven.")
    line.sound(1.0, 2.0).text(1.6, "a table for", final=False)
    line.text(2.2, "a table for for at half past")

    assert not line.of(Interrupted)
    assert line.ended() == []


def test_echo_is_still_known_after_the_agents_end() -> None:
    """The echo's text comes later than its sound."""
    line = Line().agent(0.0, 2.0, "We have a table for four.").text(2.8, "have a table for four")

    assert line.ended() == []


def test_caller_may_choose_among_the_agents_words() -> None:
    """A word that the agent just said, said aloud by the caller, is an answer."""
    line = Line().agent(0.0, None, "Would you like soup or salad?")
    line.sound(1.0, 1.6, level=-25.0, playing=-20.0).text(1.8, "Salad.")

    assert [turn.text for _, turn in line.ended()] == ["Salad."]


def test_each_reply_may_ask_for_more() -> None:
    """Least speech and least words of one reply stand in place of the settings'."""
    line = Line().at(0.0, lambda now: line.turns.agent_started(now, min_speech=0.5))
    line.sound(1.0, 1.4).sound(2.0, 3.0)
    assert [when for when, _ in line.of(BargeIn)] == [pytest.approx(2.5, abs=WINDOW)]

    line = Line().at(0.0, lambda now: line.turns.agent_started(now, min_words=3))
    line.sound(1.0, 1.4).text(1.5, "Hello there").sound(4.0, 4.9).text(5.0, "Can you hear me?")
    assert [when for when, _ in line.of(Interrupted)] == [5.0]


def test_backchannels_can_be_added() -> None:
    """A phrase of one's own lets the agent go on, and does so in another language too."""
    line = Line(TurnSettings(backchannels=("Roger that!",))).agent(0.0, 9.0)
    line.sound(1.0, 1.4).text(1.5, "roger that.")
    line.at(3.0, lambda now: line.turns.speak_language("de-DE"))
    line.sound(4.0, 4.4).text(4.5, "Roger that, genau.")

    assert line.names() == ["BargeIn", "FalseAlarm"] * 2


def test_faint_echo_does_not_stop_the_agent() -> None:
    """The agent's own audio at -20 dB in the caller's is no barge-in, a caller's voice is."""
    line = Line().agent(0.0, 9.0, "Would you like soup or salad?")
    line.sound(1.0, 4.0, level=-41.0, playing=-20.0).text(2.0, "salad")
    assert line.names() == []

    line = Line().agent(0.0, 9.0).sound(1.0, 2.0, level=-28.0, playing=-20.0)
    assert line.of(BargeIn)


def test_echo_that_is_not_faint_stops_the_agent_less_and_less() -> None:
    """Sounds that come to nothing make the next barge-in of the reply take longer."""
    line = Line().agent(0.0, 60.0)
    for start in range(2, 40, 2):
        line.sound(start, start + 0.3)

    assert 1 <= len(line.of(BargeIn)) <= 3


def test_noise_that_does_not_end_stops_the_agent_once() -> None:
    """A television beside the phone interrupts a reply once, and words still do after it."""
    line = Line().agent(0.0, None).sound(1.0, 30.0).text(20.0, "Turn that off!")

    assert [type(d) for _, d in line.of(BargeIn, FalseAlarm, Interrupted)] == [
        BargeIn,
        FalseAlarm,
        BargeIn,
        Interrupted,
    ]


def test_caller_who_began_before_the_agent_is_heard() -> None:
    """A caller who goes on just when the agent begins takes the floor back."""
    line = Line().sound(1.0, 3.0).agent(1.5, None).text(2.0, "wait", final=False)

    assert line.of(BargeIn)[0][0] <= 1.65
    assert line.of(Interrupted)


def test_quiet_is_counted_by_words_and_the_agent() -> None:
    """Noise does not count as somebody speaking; the agent, words and keys do."""
    line = Line().agent(0.0, 2.0)
    line.run(1.0)
    assert line.turns.quiet_since is None
    line.run(2.5)
    assert line.turns.quiet_since == pytest.approx(2.0)
    line.sound(3.0, 3.6).run(9.0)
    assert line.turns.quiet_since == pytest.approx(2.0)
    line.text(10.0, "hello").run(10.1)
    assert line.turns.quiet_since is None
    line.run(20.0)
    assert line.turns.quiet_since == pytest.approx(10.5)


# Whatever happens

WORDS = ["no", "a table for four", "and", "um", "uh-huh", "five five five", "stop it now please."]

Event = tuple[str, float | str, float | bool]
Script = list[tuple[float, Event]]

scripts: st.SearchStrategy[Script] = st.lists(
    st.tuples(
        st.floats(0.0, 1.5),
        st.one_of(
            st.tuples(st.just("sound"), st.floats(0.03, 2.0), st.floats(0.5, 1.0)),
            st.tuples(st.just("final"), st.sampled_from(WORDS), st.booleans()),
            st.tuples(st.just("interim"), st.sampled_from(WORDS), st.booleans()),
            st.tuples(st.just("agent"), st.floats(0.1, 3.0), st.booleans()),
            st.tuples(st.just("key"), st.sampled_from("0123456789*#"), st.booleans()),
        ),
    ),
    max_size=12,
)
choices = st.builds(
    TurnSettings,
    endpoint=st.sampled_from([0.1, 0.5, 1.5]),
    endpointing=st.sampled_from(["silence", "engine", "either"]),
    expect=st.sampled_from([None, 0.1]),
    barge_in=st.booleans(),
    min_words=st.integers(0, 3),
    detector=st.booleans(),
)
detectors = st.sampled_from([None, lambda text: len(text) % 2 == 0, lambda text: 0.5])


def play(
    chosen: TurnSettings, script: Script, detector: Callable[[str], bool | float] | None = None
) -> Line:
    """Run a script of events, each so long after the one before."""
    line, now = Line(chosen, detector), 1.0
    for wait, (kind, what, how) in script:
        now += wait
        if isinstance(what, float):
            if kind == "sound":
                line.sound(now, now + what, how)
            else:
                line.agent(now, now + what, interruptible=bool(how))
        elif kind == "key":
            line.key(now, what)
        else:
            line.text(now, what, final=kind == "final", ends=bool(how))
    return line


@pytest.mark.slow
@settings(max_examples=100)
@given(choices, scripts, detectors)
def test_every_alarm_is_decided(
    chosen: TurnSettings, script: Script, detector: Callable[[str], bool | float] | None
) -> None:
    """Whatever happens, each barge-in gets one decision before the next, and all comes to rest."""
    line = play(chosen, script, detector)
    alarm = False
    for _, decision in line.run(120.0):
        if isinstance(decision, AgentMoved):
            # That decides it, too.
            alarm = False
        elif isinstance(decision, BargeIn):
            assert not alarm
            assert chosen.barge_in
            alarm = True
        elif isinstance(decision, Interrupted | FalseAlarm):
            assert alarm
            alarm = False
        elif isinstance(decision, TurnEnded):
            assert bool(decision.turn.text) != bool(decision.turn.digits)
            assert decision.turn.started_at <= decision.turn.ended_at
    assert not alarm
    assert line.turns.deadline is None


@pytest.mark.slow
@settings(max_examples=100)
@given(choices, scripts, detectors)
def test_no_word_is_lost_or_given_twice(
    chosen: TurnSettings, script: Script, detector: Callable[[str], bool | float] | None
) -> None:
    """With a silent agent, every final is in exactly one turn, in order, and so is every digit."""
    script = [(wait, event) for wait, event in script if event[0] in {"sound", "final", "key"}]
    turns = [turn for _, turn in play(chosen, script, detector).ended()]

    said = " ".join(str(what) for _, (kind, what, _) in script if kind == "final")
    keyed = "".join(str(what) for _, (kind, what, _) in script if kind == "key")

    assert " ".join(turn.text for turn in turns if turn.text) == said
    assert "".join(turn.digits for turn in turns) == keyed


@pytest.mark.slow
@settings(max_examples=100)
@given(choices, scripts, detectors)
def test_expected_turns_are_resolved(
    chosen: TurnSettings, script: Script, detector: Callable[[str], bool | float] | None
) -> None:
    """An expected turn is followed by its revocation or by exactly that turn."""
    expected: Turn | None = None
    for _, decision in play(chosen, script, detector).run(120.0):
        if isinstance(decision, TurnExpected):
            assert expected is None
            expected = decision.turn
        elif isinstance(decision, TurnRevoked):
            assert expected is not None
            expected = None
        elif isinstance(decision, TurnEnded) and decision.turn.text:
            assert expected is None or words(expected.text) == words(decision.turn.text)
            expected = None
    assert expected is None
