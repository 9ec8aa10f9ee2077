-- Makes sure that a shard's stream exists, gives no id at or below a floor, and counts on from the appends known. Writes
-- only when it must.
-- KEYS  1 stream   ARGV  1 the floor   2 appends known
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
local is = {}
for i = 1, #info, 2 do
  is[info[i]] = info[i + 1]
end
local last, added = is['last-generated-id'], is['entries-added']
local is_behind, is_short = sortable(last) < sortable(ARGV[1]), added < tonumber(ARGV[2])
if is_behind or is_short then
  local id, count = is_behind and ARGV[1] or last, is_short and ARGV[2] or string.format('%d', added)
  redis.call('XSETID', KEYS[1], id, 'ENTRIESADDED', count)
end
return 0
