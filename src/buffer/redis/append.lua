-- Appends entries to a shard's stream, all or none, and notes the newest of each user and post.
-- KEYS  1 stream   2 set of stretches (each has a hash of its own beside it)
-- ARGV  1 deadline ms   2 length of a stretch ms
--       then for each entry: payload, "user post", score or "w" or '' for no note
-- Returns Redis' time in ms and the ids; 'late' instead when the deadline has passed, 'gone' when there is no stream:
-- it must be created again with its floor, so that no id is at or below the checkpoint.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now >= tonumber(ARGV[1]) then
  return {now, 'late'}
end

local ids = {now}
local notes = {}
for i = 3, #ARGV, 3 do
  local id = redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', 'e', ARGV[i])
  if not id then
    return {now, 'gone'}
  end
  ids[#ids + 1] = id
  if ARGV[i + 2] ~= '' then
    local stretch = math.floor(tonumber(string.match(id, '^%d+')) / tonumber(ARGV[2]))
    local note = notes[stretch] or {}
    notes[stretch] = note
    note[#note + 1] = ARGV[i + 1]
    note[#note + 1] = id .. ' ' .. ARGV[i + 2]
  end
end

for stretch, note in pairs(notes) do
  local name = string.format('%.0f', stretch)
  redis.call('HSET', KEYS[2] .. ':' .. name, unpack(note))
  redis.call('SADD', KEYS[2], name)
end
return ids
