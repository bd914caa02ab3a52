-- Announce a gateway, and count them. KEYS: the clock, the gateways by when they were heard of.
local clock = tick(KEYS[1], ARGV[1])
if redis.call('TYPE', KEYS[2]).ok ~= 'zset' then redis.call('DEL', KEYS[2]) end
redis.call('ZADD', KEYS[2], clock, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', clock - GONE_S)
redis.call('ZREMRANGEBYSCORE', KEYS[2], clock + 1, '+inf')
return {redis.call('ZCARD', KEYS[2]), exact(clock)}
