-- Lease from a bucket (`shared_bucket.py`). KEYS: the clock, the bucket, what its last lease was.
local per_minute, id = tonumber(ARGV[2]), ARGV[3]
local returned, needed, wanted = ARGV[4] + 0, ARGV[5] + 0, ARGV[6] + 0
local overdrawn, share_spent, gateways, since = ARGV[7] + 0, ARGV[8] + 0, ARGV[9] + 0, tonumber(ARGV[10])
local clock = tick(KEYS[1], ARGV[1])

local last = fields(KEYS[3], 'id', 'amount', 'left')
if last[1] == id then return {last[2], last[3], exact(clock)} end

local bucket = fields(KEYS[2], 'level', 'clock')
local level, at = number(bucket[1]), number(bucket[2])
if bucket[1] or bucket[2] then
    level = (level or 0) + math.max(0, clock - (at or clock)) * per_minute / WINDOW_S
else
    level = clock * per_minute / WINDOW_S
end
local refilled = per_minute
if since then refilled = math.max(0, clock - since) * per_minute / WINDOW_S end
share_spent = math.min(share_spent, math.min(per_minute, refilled) / gateways)
level = math.min(per_minute, math.min(per_minute, level) + returned)
level = math.max(-per_minute, level - overdrawn - share_spent)
local amount = 0
if level >= needed then amount = math.max(0, math.min(level, wanted)) end
level = level - amount

redis.call('HSET', KEYS[2], 'level', exact(level), 'clock', exact(clock))
redis.call('HSET', KEYS[3], 'id', id, 'amount', exact(amount), 'left', exact(level))
redis.call('EXPIRE', KEYS[2], KEPT_S)
redis.call('EXPIRE', KEYS[3], KEPT_S)
return {exact(amount), exact(level), exact(clock)}
