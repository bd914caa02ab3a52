-- Before each of the other scripts; `quotas.py` declares WINDOW_S, MAX_TICK_S, KEPT_S, GONE_S, KEPT_MONTH_S and
-- MAX_GENERATION.

local function number(text)
    local value = tonumber(text or '')
    if value and value > -1e15 and value < 1e15 then return value end  -- false for NaN
end

local function exact(value)
    return string.format('%.17g', value)
end

local function fields(key, ...)
    if redis.call('TYPE', key).ok ~= 'hash' then redis.call('DEL', key) end
    return redis.call('HMGET', key, ...)
end

-- Seconds during which gateways were in touch with Redis. It begins at 0 where a gateway has known another clock:
-- Redis has lost its buckets, and none may be full again. It begins at a full minute where all is new.
local function tick(key, known)
    local time = redis.call('TIME')
    local now = time[1] + time[2] / 1e6
    local stored = fields(key, 'clock', 'at')
    local clock, at = number(stored[1]), number(stored[2])
    if clock and at then
        clock = clock + math.max(0, math.min(now - at, MAX_TICK_S))
    else
        clock = known == '1' and 0 or WINDOW_S
    end
    redis.call('HSET', key, 'clock', exact(clock), 'at', exact(now))
    return clock
end
