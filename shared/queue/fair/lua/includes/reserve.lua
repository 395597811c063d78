--[[
  Reservations: what a call takes from the ceilings of a credential when it is dispatched, and what of it remains.

  What counts is the provider's choice (`accounting`), so each dimension is reserved as the provider will hold it and
  settled as the provider will settle it:
    input_plus_max              tokens = input + max output; nothing is refunded (OpenAI, Azure)
    max_of_both                 tokens = the larger of input and max output; nothing is refunded
    input_plus_output_actual    input at the start, corrected; output as really produced (Anthropic): `max` is then no
                                maximum, but what such calls seldom exceed
    input_only                  input at the start, corrected (Gemini)
    bedrock                     input + the larger of max output and expected output x burndown; settled at the end
  Requests always count, also failed ones; without usage a reservation stays as it is.
]]
local reserve = {
  -- A time that one kind of slice admits may lie between two slices of another; then it is looked for anew, so often.
  sliceRoundsMax = 8,
}
--- @include "ceilings"
--- @include "growth"
--- @include "health"

-- Amounts by dimension; the fifth is concurrency. `expected`: how much of the output is only an expectation.
function reserve.amountsFor(ticket)
  local accounting, input = pool.config.accounting, ticket.input
  if accounting == 'input_plus_max' then
    return { 1, input + ticket.max, input, ticket.max, 1 }
  elseif accounting == 'max_of_both' then
    return { 1, math.max(input, ticket.max), input, ticket.max, 1 }
  elseif accounting == 'input_only' then
    return { 1, input, input, 0, 1 }
  elseif accounting == 'bedrock' then
    local output = math.max(ticket.max, math.ceil(ticket.output * pool.config.burndown))
    return { 1, input + output, input, output, 1, expected = output - ticket.max }
  end
  return { 1, input + ticket.max, input, ticket.max, 1, expected = ticket.max }
end

-- Whether the provider corrects its count by what was really used.
function reserve.settles()
  local accounting = pool.config.accounting
  return accounting ~= 'input_plus_max' and accounting ~= 'max_of_both'
end

-- What the provider counts in the end: at the time of the start, and at the time of the end.
function reserve.settlementFor(usedInput, usedOutput)
  local accounting = pool.config.accounting
  if accounting == 'input_plus_output_actual' then
    return { 1, usedInput, usedInput, 0 }, { 0, usedOutput, 0, usedOutput }
  elseif accounting == 'input_only' then
    return { 1, usedInput, usedInput, 0 }, { 0, 0, 0, 0 }
  elseif accounting == 'bedrock' then
    local output = math.ceil(usedOutput * pool.config.burndown)
    return { 1, usedInput + output, usedInput, output }, { 0, 0, 0, 0 }
  end
  return nil
end

-- When all ceilings of a scope admit the reservation, the share left on the tightest, and which one is waited for.
function reserve.scopeFitsAt(scope, reservation)
  local latest, room, waitedFor, fits = pool.nowMs, 1, nil, true
  for _, ceiling in ipairs(pool.config.scopes[scope] or {}) do
    local dimension = ceiling.dimension
    local cost = reservation[dimension]
    if cost > 0 then
      if cost > ceiling.amount and not ceiling.clamped then
        -- An expectation beyond the whole ceiling takes all of it; only what is sure makes a call too large.
        local expected = (dimension == 2 or dimension == 4) and reservation.expected or 0
        if cost - expected > ceiling.amount then fits = false end
        cost = ceiling.amount
      end
      local at, share = limits.fitsAt(scope, ceiling, cost)
      if at > latest then latest, waitedFor = at, ceiling end
      room = math.min(room, share)
    end
  end
  local grownAt = growth.fitsAt(scope, reservation)
  if grownAt > latest then latest, waitedFor = grownAt, { name = 'ramp' } end
  if latest < math.huge then latest, waitedFor = reserve.slicesFitAt(scope, reservation, latest, waitedFor) end
  return latest, room, waitedFor, fits
end

-- What the windows admit must also find all slices open, from `latest` on.
function reserve.slicesFitAt(scope, reservation, latest, waitedFor)
  for _ = 1, reserve.sliceRoundsMax do
    local foundAt = latest
    for _, ceiling in ipairs(pool.config.scopes[scope] or {}) do
      local cost = reservation[ceiling.dimension]
      if ceiling.sliceMs and cost > 0 then
        local at = slices.fitsAt(ceiling, cost, latest)
        if at > latest then latest, waitedFor = at, ceiling end
      end
    end
    if latest == foundAt then break end
  end
  return latest, waitedFor
end

function reserve.isBetter(one, other)
  if one.room ~= other.room then return one.room > other.room end
  if one.weight ~= other.weight then return one.weight > other.weight end
  return one.lastUse < other.lastUse
end

--[[
  The credential that admits the reservation now, with the most headroom, then the largest weight, then the least
  recently used. Otherwise nil, when the first of them will admit it (math.huge: unknown), the ceiling that is waited
  for, and whether no credential could ever hold it.
]]
function reserve.choose(reservation)
  local best, soonest, waitedFor, oversize = nil, math.huge, nil, true
  local scopes = {}
  for _, credential in ipairs(pool.config.credentials) do
    local scope = credential.scope
    if not scopes[scope] then scopes[scope] = { reserve.scopeFitsAt(scope, reservation) } end
    local at, room, ceiling, fits = unpack(scopes[scope], 1, 4)
    local cooldown = pool.ceilings.cooldowns[credential.id] or 0
    local healthy = health.admitsAt(credential, pool.config.scopes[scope] or {})
    local reason = ceiling and ceiling.name
    if cooldown > at then at, reason = cooldown, 'cooldown' end
    if healthy > at then at, reason = healthy, 'breaker' end
    if fits then oversize = false end
    if fits and at <= pool.nowMs then
      local lastUse = pool.ceilings.used[credential.id] or 0
      local candidate = { id = credential.id, scope = scope, weight = credential.weight, room = room, lastUse = lastUse }
      if not best or reserve.isBetter(candidate, best) then best = candidate end
    elseif fits and at < soonest then
      soonest, waitedFor = at, reason
    elseif fits and not waitedFor then
      waitedFor = reason
    end
  end
  if best then return best end
  return nil, soonest, waitedFor, oversize
end

-- How long the call may take to reach the provider, where slices tell (milliseconds), and whether its end is to be reported.
function reserve.charge(credential, reservation, jobId)
  local rows, lastsMs = pool.config.scopes[credential.scope] or {}, nil
  for _, ceiling in ipairs(rows) do
    if ceiling.dimension ~= limits.concurrency then
      local sliceMs = limits.charge(ceiling, reservation[ceiling.dimension])
      if sliceMs then lastsMs = math.min(lastsMs or sliceMs, sliceMs) end
    end
  end
  growth.charge(credential.scope, reservation[growth.input])
  pool.addRunning(credential.scope, '1')
  local ceilings = pool.ceilings
  ceilings.uses = ceilings.uses + 1
  ceilings.used[credential.id] = ceilings.uses
  ceilings.seenMs = pool.nowMs
  pool.changed = true
  return lastsMs, next(pool.health) and health.start(credential, rows, reservation, jobId)
end

-- The provider refused a call for its quota: where it counts slices, that tells when they begin.
function reserve.refused(credential)
  for _, ceiling in ipairs(pool.config.scopes[credential.scope] or {}) do
    if ceiling.sliceMs then slices.refused(ceiling) end
  end
end

-- Replaces a reservation by what counts: `atStart` when it was charged, `atEnd` now.
function reserve.settle(scope, chargedMs, reservation, atStart, atEnd)
  for _, ceiling in ipairs(pool.config.scopes[scope] or {}) do
    local dimension = ceiling.dimension
    if dimension ~= limits.concurrency then
      local surplus = reservation[dimension] - atStart[dimension]
      -- More than was reserved can only be counted from now on. Charged before the refund, so that the pacer moves by
      -- the difference: a pacer that is behind the clock is brought up to it by a charge, and its refund would be lost.
      limits.charge(ceiling, math.max(0, -surplus) + atEnd[dimension])
      if surplus > 0 then limits.refund(ceiling, surplus, chargedMs) end
    end
  end
  growth.charge(scope, atStart[growth.input] - reservation[growth.input])
  pool.ceilings.seenMs = pool.nowMs
  pool.changed = true
end
