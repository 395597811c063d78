--[[
  Foreign use. All that we sent is in our windows, so a provider that counts more than we do counts somebody else. How
  much of ours it still counts depends on how it counts, which its own numbers show:
    bucket   refilled evenly: its reset is `used / limit` of the window. Of ours it holds what our pacer has not drained.
    fixed    cleared at a boundary: resets of several answers point at the same time. It holds what we sent since.
    rolling  anything else, and at first: it holds at most what our window holds.
  The difference is charged as used now, so the head waits. Answers are old when they come (`ageMs`): what the limit may
  have given back since is left to the benefit of the key, so that a key nobody shares is never charged. Only once a key
  is known to be shared is it followed exactly, and half a second ahead.
]]
local foreign = {
  -- A shape is believed after this many readings over this part of the window, none of which spoke against it.
  readingsMin = 8, shareMin = 0.25,
  -- Above this share of the limit a bucket and a rolling window look alike.
  tellingShare = 0.8,
  -- Shares of the limit by which others must exceed what we know before a key counts as shared; by which a bucket may
  -- be used for good; and for output, which is counted while it is produced.
  doubt = 0.02, bucketSlack = 0.1, outputDoubt = 0.25,
  aheadMs = 500, jitterMs = 300,
  -- What is learned late must not stop a pool: a correction slows its pace to a quarter, no further.
  slowest = 0.75,
}

-- Collects evidence for a shape; true when there is enough.
function foreign.believe(known, shape, speaksFor, windowMs)
  local evidence = known[shape]
  if not speaksFor then
    known[shape] = nil
    return false
  end
  evidence = evidence or { nowMs, 0 }
  evidence[2] = evidence[2] + 1
  known[shape] = evidence
  return evidence[2] >= foreign.readingsMin and nowMs - evidence[1] >= foreign.shareMin * windowMs
end

function foreign.isBucket(known, windowMs, limit, used, resetMs, resetGrainMs, grain)
  local evidence = known.bucket
  local isTelling = used / limit < foreign.tellingShare
  if resetMs < 0 then return false end
  if not isTelling then
    return evidence and evidence[2] >= foreign.readingsMin and nowMs - evidence[1] >= foreign.shareMin * windowMs
  end
  local off = math.abs(resetMs - used / limit * windowMs)
  return foreign.believe(known, 'bucket', off <= 0.02 * windowMs + resetGrainMs + (grain + 1) / limit * windowMs, windowMs)
end

-- When the present window of a limit with fixed windows began, if it has such.
function foreign.fixedStart(known, ageMs, windowMs, resetMs, resetGrainMs)
  if resetMs == -2 then return math.floor(nowMs / windowMs) * windowMs - foreign.jitterMs end
  if resetMs < 0 then return nil end
  local earliest, latest = nowMs - ageMs + resetMs - resetGrainMs, nowMs + resetMs
  local boundary = known.boundary
  if boundary then
    local turns = math.floor((earliest - boundary[1]) / windowMs + 0.5)
    earliest = math.max(earliest, boundary[1] + turns * windowMs)
    latest = math.min(latest, boundary[2] + turns * windowMs)
  end
  if earliest > latest + 20 then
    known.boundary, known.fixed = nil, nil
    return nil
  end
  known.boundary = { earliest, math.max(earliest, latest) }
  return foreign.believe(known, 'fixed', true, windowMs) and earliest - windowMs or nil
end

-- What of the window of a ceiling was admitted since a time.
function foreign.admittedSince(ceiling, window, sinceMs)
  local amount = window[3]
  local slots = call('HGETALL', key.slotsPrefix .. ceiling.key)
  for index = 1, #slots, 2 do
    if (tonumber(slots[index]) + 1) * ceiling.slotMs <= sinceMs then
      amount = amount - tonumber(string.match(slots[index + 1], '^%S+'))
    end
  end
  return amount
end

-- Charges what the provider counts beyond what we know of; the amount.
function foreign.charge(state, ceiling, known, reading, ageMs)
  local dimension, windowMs, limit, used, resetMs, resetGrainMs, grain = unpack(reading)
  local window = limits.windowOf(ceiling)
  local given = limit * ageMs / windowMs
  local excess, isPart = nil, false
  local bucket = foreign.isBucket(known, windowMs, limit, used, resetMs, resetGrainMs, grain)
  local start = foreign.fixedStart(known, ageMs, windowMs, resetMs, resetGrainMs)
  local doubt = foreign.doubt
  if dimension == 4 and reserve.settles() then doubt = foreign.outputDoubt end
  local pacer = state.ceilings.pacers[ceiling.key]
  if bucket and ceiling.burstMs >= 0 then
    local held = math.min(window[3], math.max(0, (pacer or 0) - state.nowMs) / ceiling.msPerUnit)
    excess = used - grain - given - held - math.max(doubt, foreign.bucketSlack) * limit
    isPart = true
  elseif start then
    if nowMs - ageMs < start + foreign.jitterMs then return 0 end
    excess = used - grain - foreign.admittedSince(ceiling, window, start - foreign.jitterMs)
  else
    excess = used - grain - given - window[3]
  end
  if not isPart then
    local isShared = known.sharedMs and nowMs - known.sharedMs < windowMs
    if excess > 0 and (isShared or excess > doubt * limit + 1) then
      known.sharedMs = nowMs
      isShared = true
    end
    if not isShared then return 0 end
    if doubt == foreign.doubt then excess = excess + limit * foreign.aheadMs / windowMs end
  end
  local sinceMs = math.min(windowMs, nowMs - (known.chargedMs or 0))
  local pace = foreign.slowest * sinceMs / ceiling.msPerUnit
  if isPart then excess = math.min(excess, pace) end
  excess = math.floor(excess)
  if excess <= 0 then return 0 end
  limits.charge(ceiling, excess)
  if excess > pace and state.ceilings.pacers[ceiling.key] then
    state.ceilings.pacers[ceiling.key] = state.ceilings.pacers[ceiling.key] - (excess - pace) * ceiling.msPerUnit
  end
  known.chargedMs = nowMs
  state.ceilings.seenMs, state.changed = state.nowMs, true
  return excess
end
