-- The newest note that a shard still has for each "user post".
-- KEYS  1 set of stretches   ARGV  the pairs
-- Returns "id score" for each, '' where there is no note.
local stretches = redis.call('SMEMBERS', KEYS[1])
table.sort(stretches, function(a, b) return tonumber(a) > tonumber(b) end)
local found = {}
for i = 1, #ARGV do
  found[i] = ''
end
for _, name in ipairs(stretches) do
  local notes = redis.call('HMGET', KEYS[1] .. ':' .. name, unpack(ARGV))
  for i = 1, #ARGV do
    if found[i] == '' and notes[i] then
      found[i] = notes[i]
    end
  end
end
return found
