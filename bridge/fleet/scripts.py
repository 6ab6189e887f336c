"""What has to happen in Redis in one step, as Lua.

Redis runs a script alone, so what one of these reads is still true when it writes.  Every script
gets the prefix of all keys as its only key and leaves the rest to be made from it; the prefix has
braces, so that in a cluster all keys are on one node.

Keys, behind the prefix::

    event:<id>        a webhook event that was seen: by which process
    inbox:<process>   hash: event -> its body, from Telnyx's being told 200 until it was acted on
    leg:<id>          hash: owner, epoch, info, birth, talking, began (ms), agent; before: the owner
                      before, who may still write down what was said
    legid:<leg id>    the call_control_id of a live leg
    session:<id>      the call_control_id of a session's first live leg
    ended:<id>        a leg that is over
    legs:<process>    set: the legs that live there
    history:<id>      hash: number of a remark -> the remark; "open": the reply that is being said;
                      "pending": the caller's turn that is not over; "keys", "state"
    mail:<id>         list: webhook events that reached nobody
    late:<id>         list: the last keys by webhook, whomever they reached
    token:<digest>    hash: leg, state (new, used, lost), again, until (ms)
    tokens:<id>       set: the digests of a leg's tokens
    processes         sorted set: process -> its last beat (ms)
    max               hash: process -> calls it takes; 0 while it is stopping
    refused:<source>  hash: level (refusals not forgiven yet), at (ms)
    tries:<source>    list: when a password was tried (ms), oldest first; "tries": by anybody
    queue             list: calls that wait for room
    to:<process>      the channel a process listens to
"""

from __future__ import annotations

__all__ = ["SCRIPTS"]

# Milliseconds: nothing of a call outlives Telnyx's longest call (four hours) by much.
_LEG_LIFE = 6 * 3600 * 1000

# Seconds that ended legs and event ids are remembered, as in the registry of one process.
_MEMORY = 600

# Seconds that events of legs which nobody knows are kept: they may be about to be entered.
_EARLY = 30

_COMMON = f"""
local P = KEYS[1]
local EARLY = {_EARLY}
local LIFE = {_LEG_LIFE}
local MEMORY = {_MEMORY}
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function own(id, me)
  local leg = P .. 'leg:' .. id
  local before = redis.call('HGET', leg, 'owner')
  if before and before ~= me then
    redis.call('SREM', P .. 'legs:' .. before, id)
    redis.call('HSET', leg, 'before', before)
  end
  redis.call('SADD', P .. 'legs:' .. me, id)
  redis.call('HSET', leg, 'owner', me)
  return redis.call('HINCRBY', leg, 'epoch', 1)
end
local function session_of(info)
  local ok, found = pcall(cjson.decode, info or '')
  local session = ok and found.call_session_id or ''
  return session ~= '' and P .. 'session:' .. session or nil
end
local function relate(id, info)
  local session = session_of(info)
  if session then redis.call('SET', session, id, 'PX', LIFE, 'NX') end
end
local function estate(id)
  local leg = redis.call('HMGET', P .. 'leg:' .. id, 'info', 'talking', 'began', 'epoch', 'agent')
  return {{leg[1], leg[2] or '', now() - (leg[3] or now()), tonumber(leg[4]), leg[5] or ''}}
end
"""

# -> 1 if it was entered, 0 if it is live or over.
_BEGIN = """
local id, legid, me, info, birth = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if redis.call('EXISTS', P .. 'ended:' .. id) == 1 then return 0 end
local leg = P .. 'leg:' .. id
if redis.call('EXISTS', leg) == 1 then
  return redis.call('HGET', leg, 'birth') == birth and 1 or 0
end
redis.call('HSET', leg, 'info', info, 'birth', birth, 'began', now())
own(id, me)
redis.call('PEXPIRE', leg, LIFE)
if legid ~= '' then redis.call('SET', P .. 'legid:' .. legid, id, 'PX', LIFE) end
relate(id, info)
return 1
"""

# -> 1 if it was live and ours, 0 if it was not live, 2 if another process has it.
_END = """
local id, me = ARGV[1], ARGV[2]
id = redis.call('GET', P .. 'legid:' .. id) or id
local leg = P .. 'leg:' .. id
local owner = redis.call('HGET', leg, 'owner')
if owner and owner ~= me then return 2 end
redis.call('SET', P .. 'ended:' .. id, 1, 'EX', MEMORY)
if not owner then return 0 end
local text = redis.call('HGET', leg, 'info')
local session = session_of(text)
if session and redis.call('GET', session) == id then redis.call('DEL', session) end
local found, info = pcall(cjson.decode, text or '')
if found and info.call_leg_id then redis.call('DEL', P .. 'legid:' .. info.call_leg_id) end
for _, digest in ipairs(redis.call('SMEMBERS', P .. 'tokens:' .. id)) do
  redis.call('DEL', P .. 'token:' .. digest)
end
redis.call('DEL', leg, P .. 'history:' .. id, P .. 'mail:' .. id, P .. 'tokens:' .. id,
           P .. 'late:' .. id)
redis.call('SREM', P .. 'legs:' .. owner, id)
return 1
"""

# -> 1 if the leg is ours (entered again if it was forgotten), 0 if another process has it.
_CONFIRM = """
local id, legid, me, info, talking, age = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local epoch = ARGV[7]
local leg = P .. 'leg:' .. id
local owner = redis.call('HGET', leg, 'owner')
if owner then
  if owner == me then redis.call('SADD', P .. 'legs:' .. me, id) end
  return owner == me and 1 or 0
end
if redis.call('EXISTS', P .. 'ended:' .. id) == 1 then return 0 end
redis.call('HSET', leg, 'info', info, 'talking', talking, 'began', now() - tonumber(age))
own(id, me)
redis.call('HSET', leg, 'epoch', epoch)
redis.call('PEXPIRE', leg, LIFE)
if legid ~= '' then redis.call('SET', P .. 'legid:' .. legid, id, 'PX', LIFE) end
relate(id, info)
return 1
"""

# -> 1 if the leg lives here, in this epoch; 0 if not any more, -1 if nothing is known of it.
_HOLDS = """
local id, me, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local leg = redis.call('HMGET', P .. 'leg:' .. id, 'owner', 'epoch')
if not leg[1] then return redis.call('EXISTS', P .. 'ended:' .. id) == 1 and 0 or -1 end
return leg[1] == me and tonumber(leg[2]) <= epoch and 1 or 0
"""

_MINT = """
local digest, id, lifetime = ARGV[1], ARGV[2], tonumber(ARGV[3])
local token = P .. 'token:' .. digest
redis.call('HSET', token, 'leg', id, 'state', 'new', 'until', now() + lifetime)
redis.call('PEXPIRE', token, LIFE)
redis.call('SADD', P .. 'tokens:' .. id, digest)
redis.call('PEXPIRE', P .. 'tokens:' .. id, LIFE)
return 1
"""

# -> {why} if it is refused; {'taken', id, again, owner before, estate...} otherwise.
# With `peek` nothing is changed: who has the leg?
_CLAIM = """
local digest, me, peek = ARGV[1], ARGV[2], ARGV[3]
local token = P .. 'token:' .. digest
local t = redis.call('HMGET', token, 'leg', 'state', 'until', 'again')
local id, state = t[1], t[2]
if not id then return {'unknown'} end
local leg = P .. 'leg:' .. id
local owner = redis.call('HGET', leg, 'owner')
if not owner then return {'ended'} end
if state == 'used' then return {'in use'} end
if now() > tonumber(t[3]) then return {'expired'} end
if owner ~= me and redis.call('HGET', leg, 'agent') == '?'
  and redis.call('HGET', leg, 'talking') ~= '1' and peek ~= '1' then return {'elsewhere'} end
if peek == '1' then return {'taken', id, t[4] or '', owner} end
redis.call('HSET', token, 'state', 'used')
if owner ~= me then own(id, me) end
local e = estate(id)
return {'taken', id, t[4] or '', owner, e[1], e[2], e[3], e[4], e[5]}
"""

_RELEASE = """
local digest, lost, grace = ARGV[1], ARGV[2], tonumber(ARGV[3])
local token = P .. 'token:' .. digest
local t = redis.call('HMGET', token, 'state', 'again')
if t[1] ~= 'used' then return 0 end
if lost ~= '1' or t[2] then redis.call('DEL', token) return 0 end
redis.call('HSET', token, 'state', 'lost', 'again', '1', 'until', now() + grace)
return 1
"""

# One process's sign of life -> {now, process, its last beat, its live legs, its maximum, …}.
_BEAT = """
local me, room = ARGV[1], ARGV[2]
redis.call('ZADD', P .. 'processes', now(), me)
redis.call('HSET', P .. 'max', me, room)
local found = {now()}
local all = redis.call('ZRANGE', P .. 'processes', 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  table.insert(found, all[i])
  table.insert(found, all[i + 1])
  table.insert(found, redis.call('SCARD', P .. 'legs:' .. all[i]))
  table.insert(found, redis.call('HGET', P .. 'max', all[i]) or '0')
end
return found
"""

# Takes one leg from a process that has shown no life since `seen` -> its estate, or nothing.
_ADOPT = """
local from, me, seen = ARGV[1], ARGV[2], tonumber(ARGV[3])
local beat = redis.call('ZSCORE', P .. 'processes', from)
if beat and tonumber(beat) > seen then return {'alive'} end
while true do
  local id = redis.call('SPOP', P .. 'legs:' .. from)
  if not id then
    redis.call('ZREM', P .. 'processes', from)
    redis.call('HDEL', P .. 'max', from)
    return {'none'}
  end
  local leg = P .. 'leg:' .. id
  if redis.call('HGET', leg, 'owner') == from then
    own(id, me)
    local e = estate(id)
    return {'taken', id, e[1], e[2], e[3], e[4], e[5]}
  end
end
"""

# Keeps an event that is about to be answered 200 -> 1, or 0 if it was seen already.
_RECEIVE = """
local event, me, body = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', P .. 'event:' .. event) == 1 then return 0 end
redis.call('HSET', P .. 'inbox:' .. me, event, body)
redis.call('EXPIRE', P .. 'inbox:' .. me, MEMORY)
return 1
"""

# Takes the events that a process which has shown no life since `seen` did not act on -> bodies.
_SALVAGE = """
local from, me, seen = ARGV[1], ARGV[2], tonumber(ARGV[3])
local beat = redis.call('ZSCORE', P .. 'processes', from)
if beat and tonumber(beat) > seen then return {} end
local all, found = redis.call('HGETALL', P .. 'inbox:' .. from), {}
redis.call('DEL', P .. 'inbox:' .. from)
for i = 1, #all, 2 do
  local event = P .. 'event:' .. all[i]
  local seer = redis.call('GET', event)
  if not seer or seer == from then
    redis.call('SET', event, me, 'EX', MEMORY)
    redis.call('HSET', P .. 'inbox:' .. me, all[i], all[i + 1])
    table.insert(found, all[i + 1])
  end
end
if #found > 0 then redis.call('EXPIRE', P .. 'inbox:' .. me, MEMORY) end
return found
"""

# Goodbye: the process is no member any more; unless it leaves events, which others look for then.
_FAREWELL = """
local me = ARGV[1]
if redis.call('EXISTS', P .. 'inbox:' .. me) == 1 then
  redis.call('HSET', P .. 'max', me, 0)
  return 0
end
redis.call('ZREM', P .. 'processes', me)
redis.call('HDEL', P .. 'max', me)
if redis.call('SCARD', P .. 'legs:' .. me) == 0 then redis.call('DEL', P .. 'legs:' .. me) end
return 1
"""

# Writes parts of a leg's history, if the leg is ours, or was until a moment ago and nobody has read
# what we left: number or "open", text, …
_WRITE = """
local id, me = ARGV[1], ARGV[2]
local holders = redis.call('HMGET', P .. 'leg:' .. id, 'owner', 'before')
if holders[1] ~= me and holders[2] ~= me then return 0 end
local history = P .. 'history:' .. id
for i = 3, #ARGV, 2 do
  if ARGV[i] == 'talking' then
    redis.call('HSET', P .. 'leg:' .. id, 'talking', '1', 'info', ARGV[i + 1])
  elseif ARGV[i + 1] == '' then
    redis.call('HDEL', history, ARGV[i])
  else
    redis.call('HSET', history, ARGV[i], ARGV[i + 1])
  end
end
redis.call('PEXPIRE', history, LIFE)
return 1
"""

# Brings a webhook event to the leg's process; what reaches nobody is kept for its next one.
# One of a leg that nobody knows goes to a leg of its session: a transfer made it, perhaps.
# -> {'nobody'}, {'here'}, {'told'} or {'kept'}, and the leg.
_FORWARD = """
local id, legid, me, message, mail = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local session, again = ARGV[6], ARGV[7]
if id == '' or redis.call('EXISTS', P .. 'leg:' .. id) == 0 then
  id = redis.call('GET', P .. 'legid:' .. legid) or id
end
local owner = redis.call('HGET', P .. 'leg:' .. id, 'owner')
if not owner then
  if again == '1' then return {'nobody', id} end
  redis.call('RPUSH', P .. 'mail:' .. id, mail)
  redis.call('EXPIRE', P .. 'mail:' .. id, EARLY)
  local relative = redis.call('GET', P .. 'session:' .. session)
  owner = relative and redis.call('HGET', P .. 'leg:' .. relative, 'owner')
  if not owner or owner == me then return {'nobody', id} end
  return {redis.call('PUBLISH', P .. 'to:' .. owner, message) > 0 and 'told' or 'nobody', id}
end
if owner == me then return {'here', id} end
if redis.call('PUBLISH', P .. 'to:' .. owner, message) > 0 then return {'told', id} end
redis.call('RPUSH', P .. 'mail:' .. id, mail)
redis.call('PEXPIRE', P .. 'mail:' .. id, LIFE)
return {'kept', id}
"""

# Reads what was left with a leg of ours; from now on nobody else writes there.
# -> {} if it is not ours; {history, events that reached nobody, keys} otherwise.
_INHERIT = """
local id, me = ARGV[1], ARGV[2]
local leg, mail = P .. 'leg:' .. id, P .. 'mail:' .. id
if redis.call('HGET', leg, 'owner') ~= me then return {} end
redis.call('HDEL', leg, 'before')
local found = {
  redis.call('HGETALL', P .. 'history:' .. id),
  redis.call('LRANGE', mail, 0, -1),
  redis.call('LRANGE', P .. 'late:' .. id, 0, -1),
}
redis.call('DEL', mail)
return found
"""

# Keeps a key that a webhook told of for a while: the process that is told of it may be dying.
_NOTE = """
local id, legid, body = ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', P .. 'leg:' .. id) == 0 then
  id = redis.call('GET', P .. 'legid:' .. legid) or id
end
local late = P .. 'late:' .. id
redis.call('RPUSH', late, body)
redis.call('LTRIM', late, -32, -1)
redis.call('EXPIRE', late, EARLY)
return 1
"""

_TELL = """
return redis.call('PUBLISH', P .. 'to:' .. ARGV[1], ARGV[2])
"""

# Asks the process with the most room, ourselves aside, to take a call -> whether there is one.
_PLACE = """
local me, message, oldest = ARGV[1], ARGV[2], now() - tonumber(ARGV[3])
local most, room = nil, 0
for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'processes', oldest, '+inf')) do
  local free = tonumber(redis.call('HGET', P .. 'max', other) or '0')
             - redis.call('SCARD', P .. 'legs:' .. other)
  if other ~= me and free > room then most, room = other, free end
end
if not most then return 0 end
return redis.call('PUBLISH', P .. 'to:' .. most, message) > 0 and 1 or 0
"""

_MAIL = """
local mail = P .. 'mail:' .. ARGV[1]
local found = redis.call('LRANGE', mail, 0, -1)
redis.call('DEL', mail)
return found
"""

# Counts a refusal -> how many of this source are not forgiven yet.
_REFUSE = """
local key, burst, rate = P .. 'refused:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local was, at = redis.call('HMGET', key, 'level', 'at'), now()
local forgiven = (at - (was[2] or at)) * rate / 1000
local level = math.min(math.max(0, (was[1] or 0) - forgiven) + 1, burst + 1)
redis.call('HSET', key, 'level', tostring(level), 'at', at)
redis.call('PEXPIRE', key, math.ceil(level / rate * 1000))
return tostring(level)
"""

# Takes a try -> 0, or the milliseconds until there is one.
_TRY = """
local window, at, wait = tonumber(ARGV[4]), now(), 0
local limits = {[P .. 'tries:' .. ARGV[1]] = ARGV[2], [P .. 'tries'] = ARGV[3]}
for key, limit in pairs(limits) do
  local oldest = redis.call('LINDEX', key, -limit)
  if oldest then wait = math.max(wait, oldest + window - at) end
end
if wait > 0 then return wait end
for key, limit in pairs(limits) do
  redis.call('RPUSH', key, at)
  redis.call('LTRIM', key, -limit, -1)
  redis.call('PEXPIRE', key, window)
end
return 0
"""

# Gives the last try back.
_UNTRY = """
redis.call('RPOP', P .. 'tries:' .. ARGV[1])
redis.call('RPOP', P .. 'tries')
return 1
"""

SCRIPTS = {
    name: _COMMON + body
    for name, body in {
        "begin": _BEGIN,
        "end": _END,
        "confirm": _CONFIRM,
        "holds": _HOLDS,
        "mint": _MINT,
        "claim": _CLAIM,
        "release": _RELEASE,
        "beat": _BEAT,
        "adopt": _ADOPT,
        "receive": _RECEIVE,
        "salvage": _SALVAGE,
        "farewell": _FAREWELL,
        "write": _WRITE,
        "inherit": _INHERIT,
        "note": _NOTE,
        "forward": _FORWARD,
        "tell": _TELL,
        "place": _PLACE,
        "mail": _MAIL,
        "refuse": _REFUSE,
        "try": _TRY,
        "untry": _UNTRY,
    }.items()
}
"""The scripts by name."""
