--[[
  Slices: a provider that also holds each slice of its window (a second of the minute) to its part of the amount, and
  counts slices by its own clock. What is late or early by some milliseconds lands in the neighbouring slice, so nothing
  is admitted around a slice's end: a slice is { frontMs, openMs, spreadMs } — admissions begin frontMs after its start, are
  spread over spreadMs, and what lags behind that is made up until openMs have passed since the first.

  Where the provider's slices begin is taken to be on full slices of the clock, until it refuses: what is refused came at
  the end of a slice that was full, so the next one begins there.

  state   pool.ceilings.slices[ceiling.key] = { number of the slice, what it has admitted, phase ms }
]]
local slices = {
  -- A refusal in this last part of what we take for a slice, or at its very start, is that of a call that came late.
  expectedShare = 0.8, lateMs = 20,
}

function slices.stateOf(ceiling)
  local all = pool.ceilings.slices
  if not all then
    all = {}
    pool.ceilings.slices = all
  end
  local state = all[ceiling.key]
  if not state then
    state = { 0, 0, 0 }
    all[ceiling.key] = state
  end
  return state
end

-- The slice that is now: its state, and when it began.
function slices.now(ceiling)
  local state = slices.stateOf(ceiling)
  local number = math.floor((pool.nowMs - state[3]) / ceiling.sliceMs)
  if state[1] ~= number then
    -- What the one before held is forgotten, here and below: the time cannot be earlier again.
    state[1], state[2] = number, 0
    pool.ceilings.seenMs, pool.changed = pool.nowMs, true
  end
  return state, number * ceiling.sliceMs + state[3]
end

-- The earliest time from `atMs` on at which the slices admit `cost`, if nothing else is admitted until then.
function slices.fitsAt(ceiling, cost, atMs)
  local state, startMs = slices.now(ceiling)
  local ahead = math.floor((atMs - startMs) / ceiling.sliceMs)
  local admitted = ahead == 0 and state[2] or 0
  local firstMs = startMs + ahead * ceiling.sliceMs + ceiling.frontMs
  if admitted + math.min(cost, ceiling.amount) > ceiling.amount or atMs >= firstMs + ceiling.openMs then
    return firstMs + ceiling.sliceMs
  end
  return math.max(atMs, math.ceil(firstMs + ceiling.spreadMs * admitted / ceiling.amount))
end

-- Counts `cost`; how long the slice still lasts, in milliseconds.
function slices.charge(ceiling, cost)
  local state, startMs = slices.now(ceiling)
  state[2] = state[2] + cost
  return startMs + ceiling.sliceMs - pool.nowMs
end

function slices.refund(ceiling, cost, chargedMs)
  local state, startMs = slices.now(ceiling)
  if chargedMs >= startMs then state[2] = math.max(0, state[2] - cost) end
end

-- A call was refused just now: where the slices of the provider begin, if that is not where they were thought to.
function slices.refused(ceiling)
  local state, startMs = slices.now(ceiling)
  local sinceMs = pool.nowMs - startMs
  if sinceMs >= ceiling.sliceMs * slices.expectedShare or sinceMs <= slices.lateMs then return end
  state[3] = (state[3] + sinceMs) % ceiling.sliceMs
  state[1], state[2] = math.floor((pool.nowMs - state[3]) / ceiling.sliceMs), 0
  pool.ceilings.seenMs, pool.changed = pool.nowMs, true
end
