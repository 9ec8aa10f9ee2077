-- Keeps an entry unless a newer one is there.
-- KEYS  1 the post   ARGV  1 newness, text of fixed width that sorts   2 the entry   3 life ms
local there = redis.pcall('GETRANGE', KEYS[1], 0, #ARGV[1] - 1)
if type(there) == 'string' and there > ARGV[1] and string.sub(there, 1, 2) == string.sub(ARGV[1], 1, 2) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
