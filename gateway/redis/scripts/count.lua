-- Count what a request takes of budgets (`stores/budget_levels.py`). KEYS: the levels. ARGV: six of each level.
--
-- A level is what was used before its generation began, the base, and what has been taken since. A generation begins
-- where there is no level, as after a loss of all data. The base is then the most that any gateway has heard, each of
-- which says so once, and what the database knows beyond what was taken.
-- A number in its place, which older gateways write, counts as if one had heard it: an upgrade resets no budget.
local time = redis.call('TIME')
local levels, states, exceeded = {}, {}, false
for place, key in ipairs(KEYS) do
    local known, heard, unsent, amount, bound, generation = unpack(ARGV, 6 * place - 5, 6 * place)
    local older = redis.call('TYPE', key).ok == 'string' and number(redis.call('GET', key)) or 0
    local stored = fields(key, 'generation', 'base', 'taken')
    local current, base, taken = stored[1], number(stored[2]), number(stored[3])
    if not (current and #current <= MAX_GENERATION and base and taken) then
        current, base, taken = time[1] .. '.' .. time[2], math.max(heard + 0, older), 0
    elseif current ~= generation then
        base = math.max(base, heard + 0)
    end
    base = math.max(base, known - taken)
    taken = math.max(-base, taken + unsent)
    states[place] = {current, base, taken}
    levels[2 * place - 1], levels[2 * place] = base + taken, current
    if amount + 0 > 0 and bound + 0 >= 0 and base + taken + amount > bound + 0 then exceeded = true end
end
for place, key in ipairs(KEYS) do
    local current, base, taken = unpack(states[place])
    if not exceeded then taken = taken + ARGV[6 * place - 2] end
    redis.call('HSET', key, 'generation', current, 'base', exact(base), 'taken', exact(taken))
    redis.call('EXPIRE', key, KEPT_MONTH_S)
end
return levels
