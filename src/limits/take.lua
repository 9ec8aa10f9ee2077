-- Takes one call from each bucket, or from none when one of them is full.
-- KEYS: the buckets, the most important first. ARGV: the period, then each bucket's interval, in microseconds.
-- Returns the place of the bucket that is full (0: none) and the level of each, in microseconds.
-- The same arithmetic as gcra.rs; a bucket's value is the moment at which it will be empty.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local period = tonumber(ARGV[1])
local reply = {0}
local after = {}
for i, key in ipairs(KEYS) do
  local level = (tonumber(redis.call('GET', key) or '') or now) - now
  -- Less than nothing, more than the period, or not a number at all: the bucket starts empty.
  if not (level >= 0 and level <= period) then
    level = 0
  end
  reply[i + 1] = level
  after[i] = level + tonumber(ARGV[i + 1])
  if after[i] > period and reply[1] == 0 then
    reply[1] = i
  end
end
if reply[1] == 0 then
  for i, key in ipairs(KEYS) do
    redis.call('SET', key, string.format('%.0f', now + after[i]), 'PX', math.ceil(after[i] / 1000))
    reply[i + 1] = after[i]
  end
end
return reply
