-- For each request in turn, takes one call from each of its buckets, or from none when one of them is full.
-- KEYS: the buckets of each request, its most important first; all requests have the same number of them.
-- ARGV: the number of buckets of a request, the period, the interval of each bucket of a request, in microseconds; then for
-- each key the calls that are new here. The last of them is asked for; those before it were allowed, and count always.
-- Returns for each request the place of the bucket that is full (0: none) and the level of each, in microseconds.
-- The same arithmetic as gcra.rs; a bucket's value is the moment at which it will be empty.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local width = tonumber(ARGV[1])
local period = tonumber(ARGV[2])

local function put(key, level)
  if level > 0 then
    redis.call('SET', key, string.format('%.0f', now + level), 'PX', math.ceil(level / 1000))
  end
end

local function take(before)
  local levels, after, full = {}, {}, 0
  for i = 1, width do
    -- A key of another type must not refuse the other requests, so this is no error.
    local level = (tonumber(redis.pcall('GET', KEYS[before + i]) or '') or now) - now
    -- Less than nothing, more than the period, or not a number at all: the bucket starts empty.
    if not (level >= 0 and level <= period) then
      level = 0
    end
    local interval = tonumber(ARGV[2 + i])
    local known = tonumber(ARGV[2 + width + before + i]) - 1
    levels[i] = math.min(level + known * interval, period)
    after[i] = levels[i] + interval
    if after[i] > period and full == 0 then
      full = i
    end
  end
  if full > 0 then
    after = levels
  end
  for i = 1, width do
    put(KEYS[before + i], after[i])
  end
  return full, after
end

local reply = {}
for before = 0, #KEYS - 1, width do
  local full, levels = take(before)
  reply[#reply + 1] = full
  for i = 1, width do
    reply[#reply + 1] = levels[i]
  end
end
return reply
