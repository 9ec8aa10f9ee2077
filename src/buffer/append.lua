-- Appends entries to a shard's stream, all or none, and notes the newest of each user and post.
-- KEYS  1 stream   2 set of stretches (each has a hash of its own beside it)
-- ARGV  1 deadline ms   2 floor ms   3 floor id's successor   4 length of a stretch ms
--       then for each entry: payload, "user post", score or "w"
-- Returns Redis' time in ms and the ids; no ids when it came after its deadline.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now >= tonumber(ARGV[1]) then
  return {now}
end

local ids = {now}
local notes = {}
for i = 5, #ARGV, 3 do
  local id
  if i == 5 and now <= tonumber(ARGV[2]) then
    -- The clock stands below the highest known position: go on behind that. Refused if the stream is there already.
    id = redis.pcall('XADD', KEYS[1], ARGV[3], 'e', ARGV[i])
  end
  if type(id) ~= 'string' then
    id = redis.call('XADD', KEYS[1], '*', 'e', ARGV[i])
  end
  ids[#ids + 1] = id
  local stretch = math.floor(tonumber(string.match(id, '^%d+')) / tonumber(ARGV[4]))
  local note = notes[stretch] or {}
  notes[stretch] = note
  note[#note + 1] = ARGV[i + 1]
  note[#note + 1] = id .. ' ' .. ARGV[i + 2]
end

for stretch, note in pairs(notes) do
  local name = string.format('%.0f', stretch)
  redis.call('HSET', KEYS[2] .. ':' .. name, unpack(note))
  redis.call('SADD', KEYS[2], name)
end
return ids
