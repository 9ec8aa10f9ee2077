-- Appends entries to the streams of shards, to each all or none, and notes the newest of each user and post.
-- KEYS  for each shard: its stream, its notes
-- ARGV  1 deadline ms   then for each shard: how many entries   then for each entry: payload, "user post", score or "w" or
--       '' for no note
-- Returns Redis' time in ms, and 'late' alone when the deadline has passed. Then for each shard the ids, or one word:
-- 'gone' when there is no stream: it must be created again with its floor, so that no id is at or below the checkpoint;
-- an error when one of its keys holds something else.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if now >= tonumber(ARGV[1]) then
  return {now, 'late'}
end

local function append(stream, notes_key, first, last)
  local ids, notes = {}, {}
  for i = first, last, 3 do
    local id = redis.pcall('XADD', stream, 'NOMKSTREAM', '*', 'e', ARGV[i])
    if type(id) ~= 'string' then
      return nil, id
    end
    ids[#ids + 1] = id
    if ARGV[i + 2] ~= '' then
      notes[#notes + 1] = ARGV[i + 1]
      notes[#notes + 1] = id .. ' ' .. ARGV[i + 2]
    end
  end
  if #notes > 0 then
    local noted = redis.pcall('HSET', notes_key, '', ids[#ids], unpack(notes))
    if type(noted) == 'table' then
      return nil, noted
    end
  end
  return ids
end

local shards = #KEYS / 2
local reply, first = {now}, shards + 2
for shard = 1, shards do
  local last = first + 3 * tonumber(ARGV[shard + 1]) - 1
  local ids, why = append(KEYS[2 * shard - 1], KEYS[2 * shard], first, last)
  if ids then
    for i = 1, #ids do
      reply[#reply + 1] = ids[i]
    end
  elseif not why then
    reply[#reply + 1] = 'gone'
  elseif string.find(why.err, 'WRONGTYPE', 1, true) then
    reply[#reply + 1] = why.err
  else
    return why
  end
  first = last + 1
end
return reply
