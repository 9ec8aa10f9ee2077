-- Says whose Redis this is; whoever comes first decides.
-- KEYS  1 the stamp   ARGV  1 installation   2 number of shards
redis.call('HSETNX', KEYS[1], 'installation', ARGV[1])
redis.call('HSETNX', KEYS[1], 'shards', ARGV[2])
return redis.call('HMGET', KEYS[1], 'installation', 'shards')
