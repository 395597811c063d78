--[[
  Growth: a provider may refuse traffic that grows too fast, whatever its ceilings (OpenAI: beyond a million input tokens
  a minute, by more than half in 15 minutes). Where that is configured, the input of a scope is paced to
    max(freePerMs, (1 + most) x the most that was used per millisecond in any step between one and two periods ago)
  so that compared with a period earlier it grows by `most`. A period has `steps` steps.

  config  pool.config.growth            { freePerMs, most, steps, stepMs }, or nothing
  state   pool.ceilings.growth[scope]   { number of the step, used in it, pacer, used in the steps before it, oldest first }
]]
local growth = { burstMs = 1000, input = 3 }

-- The state of a scope, with the step that is now as its newest.
function growth.stateOf(settings, scope)
  local all = pool.ceilings.growth
  if not all then
    all = {}
    pool.ceilings.growth = all
  end
  local step = math.floor(pool.nowMs / settings.stepMs)
  local state = all[scope]
  if not state then
    state = { step, 0, 0, {} }
    for index = 1, 2 * settings.steps do state[4][index] = 0 end
    all[scope] = state
  end
  local behind = math.min(step - state[1], #state[4] + 1)
  for _ = 1, behind do
    table.remove(state[4], 1)
    table.insert(state[4], state[2])
    state[2] = 0
  end
  if behind > 0 then state[1], pool.changed = step, true end
  return state
end

function growth.allowedPerMs(settings, state)
  local most = 0
  for index = 1, settings.steps do most = math.max(most, state[4][index]) end
  return math.max(settings.freePerMs, (1 + settings.most) * most / settings.stepMs)
end

-- When the scope may take more input.
function growth.fitsAt(scope, reservation)
  local settings = pool.config.growth
  if not settings or reservation[growth.input] <= 0 then return pool.nowMs end
  return math.max(pool.nowMs, math.ceil(growth.stateOf(settings, scope)[3] - growth.burstMs))
end

-- Counts input that was sent now, or takes back what was not (below zero).
function growth.charge(scope, input)
  local settings = pool.config.growth
  if not settings or input == 0 then return end
  local state = growth.stateOf(settings, scope)
  local fromMs = input > 0 and math.max(state[3], pool.nowMs) or state[3]
  state[3] = fromMs + input / growth.allowedPerMs(settings, state)
  state[2] = math.max(0, state[2] + input)
end
