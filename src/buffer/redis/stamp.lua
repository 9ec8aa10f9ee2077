-- Says which installation owns this Redis; the first one does. Writes only then: a full Redis must let a worker start.
-- KEYS  1 the stamp   ARGV  1 installation   2 number of shards
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'installation', ARGV[1], 'shards', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'installation', 'shards')
