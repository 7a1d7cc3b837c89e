//! What is done in Redis, each in one step.
//!
//! Keys begin with `hw1:{NAME}:` (1 is the layout's version; the braces keep an installation in one slot): `m:ID` a mark,
//! `s` the states by topic, `sv` their versions, `sr` topics by the order of their changes, `se` ended states by time, `v`
//! the last version, `r` the last change; `g` what groups want, `gn` their numbers, `d:GROUP` letters by event id, `dr:GROUP`
//! their order, `df` how many were forgotten.

/// Sets marks to `pending` and gives each event a version; 0 for one whose mark is `done`.
///
/// KEYS: `v`, marks. ARGV: how long `pending` is kept (ms), then for each event 1 where it has a mark, or 0.
pub(super) const CLAIM: &str = r"
local count = #ARGV - 1
local last = redis.call('INCRBY', KEYS[1], count)
local mark, out = 1, {}
for at = 1, count do
  out[at] = last - count + at
  if ARGV[at + 1] == '1' then
    mark = mark + 1
    if redis.call('GET', KEYS[mark]) == 'done' then
      out[at] = 0
    else
      redis.call('SET', KEYS[mark], 'pending', 'PX', ARGV[1])
    end
  end
end
return out";

/// Keeps states, then sets marks to `done`. Of two states of a topic the one with the higher version stays, whichever came
/// last. An ended one is kept as an empty text until nobody can be late any more.
///
/// KEYS: `s`, `sv`, `sr`, `se`, `r`, marks. ARGV: how long `done` is kept (ms), now, before when ended states are forgotten
/// (both in ms since 1970), then topic, version, bytes for each state.
pub(super) const KEEP: &str = r"
local at = 4
while at <= #ARGV do
  local topic, version, bytes = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  if version > tonumber(redis.call('HGET', KEYS[2], topic) or '0') then
    redis.call('HSET', KEYS[2], topic, ARGV[at + 1])
    redis.call('HSET', KEYS[1], topic, bytes)
    redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[5]), topic)
    if bytes == '' then
      redis.call('ZADD', KEYS[4], ARGV[2], topic)
    else
      redis.call('ZREM', KEYS[4], topic)
    end
  end
  at = at + 3
end
for mark = 6, #KEYS do
  redis.call('SET', KEYS[mark], 'done', 'PX', ARGV[1])
end
for _, topic in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', ARGV[3], 'LIMIT', 0, 16)) do
  redis.call('HDEL', KEYS[1], topic)
  redis.call('HDEL', KEYS[2], topic)
  redis.call('ZREM', KEYS[3], topic)
  redis.call('ZREM', KEYS[4], topic)
end
return redis.status_reply('OK')";

/// What has changed since a change: the number of the last one looked at, then topic, version, bytes for each.
///
/// KEYS: `s`, `sv`, `sr`. ARGV: the change, how many, how many bytes.
pub(super) const CHANGED: &str = r"
local found = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local out, bytes = { ARGV[1] }, 0
for at = 1, #found, 2 do
  if bytes >= tonumber(ARGV[3]) then break end
  local state = redis.call('HGET', KEYS[1], found[at]) or ''
  bytes = bytes + #state
  out[1] = found[at + 1]
  out[#out + 1] = found[at]
  out[#out + 1] = redis.call('HGET', KEYS[2], found[at]) or '0'
  out[#out + 1] = state
end
return out";

/// Writes down what a group wants when nobody has; gives what it wants and its number.
///
/// KEYS: `g`, `gn`, `r`. ARGV: group, filters.
pub(super) const REGISTER: &str = r"
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 or redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
  redis.call('HSET', KEYS[2], ARGV[1], redis.call('INCR', KEYS[3]))
end
return { redis.call('HGET', KEYS[1], ARGV[1]), redis.call('HGET', KEYS[2], ARGV[1]) }";

/// Keeps letters, the oldest of too many are forgotten; gives how many there are and how many were forgotten.
///
/// KEYS: `d:GROUP`, `dr:GROUP`, `r`, `df`. ARGV: group, how many at the most, then id and bytes for each.
pub(super) const BURY: &str = r"
for at = 3, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[at])
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[2])
if over > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, over - 1)) do
    redis.call('HDEL', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
  end
  redis.call('HINCRBY', KEYS[4], ARGV[1], over)
end
return { redis.call('ZCARD', KEYS[2]), tonumber(redis.call('HGET', KEYS[4], ARGV[1]) or '0') }";
