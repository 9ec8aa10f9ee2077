-- Keeps a post unless a newer state of it is there. A full part loses entries by chance; a Redis that is nearly full keeps
-- none, and loses those of the part.
-- KEYS  1 a part of the cache
-- ARGV  1 the post   2 newness, text of fixed width that sorts   3 the entry   4 life ms   5 most entries of a part
--       6 percent of Redis' memory from which on it is nearly full, or 0: do not look
local part, post, newness = KEYS[1], ARGV[1], ARGV[2]
local there = redis.pcall('HGET', part, post)
if type(there) == 'table' then
  -- An error: the key is no hash.
  redis.call('UNLINK', part)
  there = false
end
if there and string.sub(there, 1, #newness) > newness and string.sub(there, 1, 2) == string.sub(newness, 1, 2) then
  return 0
end
if ARGV[6] ~= '0' then
  local memory = redis.pcall('INFO', 'memory')
  -- A user who may not ask gets an error, a table.
  if type(memory) == 'string' then
    local used = tonumber(string.match(memory, 'used_memory:(%d+)') or 0)
    local limit = tonumber(string.match(memory, 'maxmemory:(%d+)') or 0)
    if limit > 0 and used * 100 > limit * tonumber(ARGV[6]) then
      redis.call('UNLINK', part)
      return 0
    end
  end
end
if not there then
  local over = redis.call('HLEN', part) - tonumber(ARGV[5]) + 1
  if over > 0 then
    redis.call('HDEL', part, unpack(redis.call('HRANDFIELD', part, math.min(over, 16))))
  end
end
redis.call('HSET', part, post, newness .. ARGV[3])
-- From the first entry on: no entry outlives it.
redis.call('PEXPIRE', part, ARGV[4], 'NX')
return 1
