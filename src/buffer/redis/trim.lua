-- Deletes a shard's entries below an id, and notes whose entries are all gone.
-- KEYS  1 stream   2 notes   3 older notes   ARGV  1 lowest id to keep
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
local function are_merged(notes)
  local newest = redis.call('HGET', notes, '')
  return not newest or #redis.call('XRANGE', KEYS[1], newest, newest) == 0
end
if are_merged(KEYS[3]) then
  redis.call('UNLINK', KEYS[3])
  if are_merged(KEYS[2]) then
    redis.call('UNLINK', KEYS[2])
  else
    -- Those that follow are written into a new hash. A rename needs no memory, so a full Redis takes it.
    redis.call('RENAME', KEYS[2], KEYS[3])
  end
end
return 0
