-- Makes sure that a shard's stream exists and gives no id at or below a floor. Writes only when it must.
-- KEYS  1 stream   ARGV  1 the floor
local function sortable(id)
  local high, low = string.match(id, '(%d+)-(%d+)')
  return string.rep('0', 20 - #high) .. high .. string.rep('0', 20 - #low) .. low
end

if redis.call('EXISTS', KEYS[1]) == 0 then
  -- The only command that creates an empty stream. The group itself is not needed.
  redis.call('XGROUP', 'CREATE', KEYS[1], 'damper', '$', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', KEYS[1], 'damper')
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' and sortable(info[i + 1]) < sortable(ARGV[1]) then
    redis.call('XSETID', KEYS[1], ARGV[1])
  end
end
return 0
