-- The state of a shard's stream as seen from an id, in one look.
-- KEYS  1 stream   ARGV  1 the id
-- Returns waiting, first waiting id or '', entries ever added, last id.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {0, '', 0, '0-0'}
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
local is = {}
for i = 1, #info, 2 do
  is[info[i]] = info[i + 1]
end
-- Entries that are merged and not yet trimmed are a batch at most, so they are counted, not those that wait.
local merged, from = 0, '-'
repeat
  local page = redis.call('XRANGE', KEYS[1], from, ARGV[1], 'COUNT', 500)
  merged = merged + #page
  if #page > 0 then
    from = '(' .. page[#page][1]
  end
until #page < 500
local first = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', 1)
return {is['length'] - merged, first[1] and first[1][1] or '', is['entries-added'], is['last-generated-id']}
