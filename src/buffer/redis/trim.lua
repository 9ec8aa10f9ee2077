-- Deletes a shard's entries below an id, and the notes of the stretches before it.
-- KEYS  1 stream   2 set of stretches
-- ARGV  1 lowest id to keep   2 its ms   3 length of a stretch ms
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
local empty = redis.call('XLEN', KEYS[1]) == 0
for _, name in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  if empty or (tonumber(name) + 1) * tonumber(ARGV[3]) <= tonumber(ARGV[2]) then
    redis.call('UNLINK', KEYS[2] .. ':' .. name)
    redis.call('SREM', KEYS[2], name)
  end
end
return 0
