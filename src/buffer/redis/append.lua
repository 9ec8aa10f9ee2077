-- Appends entries to a shard's stream, all or none, and notes the newest of each user and post.
-- KEYS  1 stream   2 notes
-- ARGV  1 deadline ms   then for each entry: payload, "user post", score or "w" or '' for no note
-- Returns Redis' time in ms and the ids; 'late' instead when the deadline has passed, 'gone' when there is no stream:
-- it must be created again with its floor, so that no id is at or below the checkpoint.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now >= tonumber(ARGV[1]) then
  return {now, 'late'}
end

local ids = {now}
local notes = {}
for i = 2, #ARGV, 3 do
  local id = redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', 'e', ARGV[i])
  if not id then
    return {now, 'gone'}
  end
  ids[#ids + 1] = id
  if ARGV[i + 2] ~= '' then
    notes[#notes + 1] = ARGV[i + 1]
    notes[#notes + 1] = id .. ' ' .. ARGV[i + 2]
  end
end

if #notes > 0 then
  redis.call('HSET', KEYS[2], '', ids[#ids], unpack(notes))
end
return ids
