-- The newest note that a shard still has for each "user post".
-- KEYS  1 notes   2 older notes   ARGV  the pairs
-- Returns "id score" for each, '' where there is no note.
local found = redis.call('HMGET', KEYS[1], unpack(ARGV))
local older = redis.call('HMGET', KEYS[2], unpack(ARGV))
for i = 1, #ARGV do
  found[i] = found[i] or older[i] or ''
end
return found
