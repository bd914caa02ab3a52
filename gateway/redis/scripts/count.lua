-- Count what a request takes of budgets (`stores/budget_levels.py`). KEYS: the levels. ARGV: five of each level.
local levels, exceeded = {}, false
for place, key in ipairs(KEYS) do
    local known, level, unsent, amount, bound = unpack(ARGV, 5 * place - 4, 5 * place)
    if redis.call('TYPE', key).ok ~= 'string' then redis.call('DEL', key) end
    local stored = number(redis.call('GET', key))
    levels[place] = math.max(0, math.max(stored or level + 0, known + 0) + unsent)
    if amount + 0 > 0 and bound + 0 >= 0 and levels[place] + amount > bound + 0 then exceeded = true end
end
for place, key in ipairs(KEYS) do
    local taken = exceeded and 0 or ARGV[5 * place - 1]
    redis.call('SET', key, exact(levels[place] + taken), 'EX', KEPT_MONTH_S)
end
return levels
