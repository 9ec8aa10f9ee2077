-- Keeps posts, each unless a newer state of it is there. A full part loses entries by chance; a Redis that is nearly full
-- keeps none, and loses those of the part.
-- KEYS  1 a part of the cache
-- ARGV  1 life ms   2 most entries of a part
--       3 percent of Redis' memory from which on it is nearly full, or 0: do not look
--       and for each post: its id, its newness (text of fixed width that sorts), the entry
local part, most, full = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if full > 0 then
  local memory = redis.pcall('INFO', 'memory')
  -- A user who may not ask gets an error, a table.
  if type(memory) == 'string' then
    local used = tonumber(string.match(memory, 'used_memory:(%d+)') or 0)
    local limit = tonumber(string.match(memory, 'maxmemory:(%d+)') or 0)
    if limit > 0 and used * 100 > limit * full then
      redis.call('UNLINK', part)
      return 0
    end
  end
end
local kept = 0
for i = 4, #ARGV, 3 do
  local post, newness = ARGV[i], ARGV[i + 1]
  local there = redis.pcall('HGET', part, post)
  if type(there) == 'table' then
    -- An error: the key is no hash.
    redis.call('UNLINK', part)
    there = false
  end
  -- What has another encoding is replaced.
  local is_newer = there and string.sub(there, 1, #newness) > newness and string.sub(there, 1, 2) == string.sub(newness, 1, 2)
  if not is_newer then
    if not there then
      local over = redis.call('HLEN', part) - most + 1
      if over > 0 then
        redis.call('HDEL', part, unpack(redis.call('HRANDFIELD', part, math.min(over, 16))))
      end
    end
    redis.call('HSET', part, post, newness .. ARGV[i + 2])
    kept = kept + 1
  end
end
if kept > 0 then
  -- From the first entry on: no entry outlives it.
  redis.call('PEXPIRE', part, ARGV[1], 'NX')
end
return kept
