--[[
  Health of credentials, and of the pool as a whole (`*`, where it has several credentials): who is called at all, and how
  fast after an interruption. A credential of which nothing is said is sound.

  field of key.pool  health   { name = gate }, a gate being { failures, openUntilMs, opened, why, probe, probeUntilMs,
                              rampFromMs, rampShare, rampMs, pacedUntilMs }

    sound -> failing (failures in a row) -> open (nothing is sent) -> half open (one probe, whoever asks) -> ramping -> sound
                                              ^------ the probe failed ------'
  What money stops (`why = billing`) is opened at once, for longer, and probed in the same way. A probe that nobody
  reports counts as lost after breaker.probeMs. While ramping, a credential is paced to a share of its ceilings that grows
  evenly to all of it.
]]
local health = { whole = '*', burstMs = 20 }

function health.gate(name)
  local gate = pool.health[name]
  if not gate then
    gate = {}
    pool.health[name] = gate
  end
  pool.healthChanged = true
  return gate
end

function health.forget(name)
  pool.health[name] = nil
  pool.healthChanged = true
end

-- When a gate lets the next call through, as far as failures go.
function health.opensAt(name)
  local gate = pool.health[name]
  if not gate or not gate.openUntilMs then return 0 end
  if gate.openUntilMs <= nowMs and gate.probe then return gate.probeUntilMs end
  return gate.openUntilMs
end

function health.share(gate)
  return math.min(1, gate.rampShare + (1 - gate.rampShare) * (nowMs - gate.rampFromMs) / gate.rampMs)
end

-- When a ramping credential may be used again, and what for.
function health.rampedAt(name, scope, rows)
  local gate = pool.health[name]
  if not gate or not gate.rampFromMs then return 0 end
  local share = health.share(gate)
  for _, row in ipairs(rows) do
    if row.dimension == limits.concurrency and pool.running(scope) + 1 > math.max(1, row.amount * share) then
      return math.huge
    end
  end
  return math.ceil((gate.pacedUntilMs or 0) - health.burstMs)
end

-- When the health of a credential allows a call.
function health.admitsAt(credential, rows)
  if not next(pool.health) then return 0 end
  return math.max(health.opensAt(health.whole), health.opensAt(credential.id),
    health.rampedAt(credential.id, credential.scope, rows))
end

-- A call goes out. True when how it ends is to be reported: it is a probe, or follows a failure.
function health.start(credential, rows, reservation, jobId)
  local watched = false
  for _, name in ipairs({ credential.id, health.whole }) do
    local gate = pool.health[name]
    if gate and gate.openUntilMs then
      gate.probe, gate.probeUntilMs = jobId, nowMs + pool.config.breaker.probeMs
      pool.healthChanged = true
    end
    if gate and (gate.openUntilMs or gate.failures) then watched = true end
    if gate and gate.rampFromMs then health.pace(name, gate, rows, reservation) end
  end
  return watched
end

function health.pace(name, gate, rows, reservation)
  local share = health.share(gate)
  local takesMs = 0
  for _, row in ipairs(rows) do
    if row.dimension ~= limits.concurrency then
      takesMs = math.max(takesMs, reservation[row.dimension] * row.msPerUnit)
    end
  end
  gate.pacedUntilMs = math.max(gate.pacedUntilMs or 0, nowMs) + takesMs / share
  pool.healthChanged = true
  if share < 1 then return end
  gate.rampFromMs, gate.pacedUntilMs = nil, nil
  if not gate.failures and not gate.openUntilMs then health.forget(name) end
end

-- A probe that was never sent, or told nothing, leaves its place to the next.
function health.release(credentialId, jobId)
  for _, name in ipairs({ credentialId, health.whole }) do
    local gate = pool.health[name]
    if gate and gate.probe == jobId then
      gate.probe = nil
      pool.healthChanged = true
    end
  end
end

function health.ramp(name, share, overMs)
  if overMs <= 0 then return end
  local gate = health.gate(name)
  gate.rampFromMs, gate.rampShare, gate.rampMs, gate.pacedUntilMs = nowMs, share, overMs, nil
end

-- The provider did its part: true when that ended an interruption.
function health.served(name, jobId)
  local gate = pool.health[name]
  if not gate then return false end
  pool.healthChanged = true
  if gate.openUntilMs and gate.probe ~= jobId then return false end
  local wasOpen = gate.openUntilMs ~= nil
  gate.failures, gate.openUntilMs, gate.opened, gate.why, gate.probe = nil, nil, nil, nil, nil
  if wasOpen or not gate.rampFromMs then health.forget(name) end
  if wasOpen and name ~= health.whole then
    health.ramp(name, pool.config.breaker.rampShare, pool.config.breaker.rampMs)
  end
  return wasOpen
end

function health.open(name, forMs, why)
  local gate = health.gate(name)
  gate.openUntilMs, gate.why, gate.opened, gate.probe = nowMs + forMs, why, (gate.opened or 0) + 1, nil
  gate.failures, gate.rampFromMs, gate.pacedUntilMs = nil, nil, nil
end

-- The provider failed: true when that opened the gate. Calls that were sent before it opened tell nothing new.
function health.failed(name, jobId, atLeastMs)
  local breaker, gate = pool.config.breaker, health.gate(name)
  if gate.openUntilMs and gate.probe ~= jobId then return false end
  if not gate.openUntilMs then
    local failuresMax = breaker.failuresMax * (name == health.whole and #pool.config.credentials or 1)
    gate.failures = (gate.failures or 0) + 1
    if gate.failures < failuresMax then return false end
  end
  local openMs = math.min(breaker.openMaxMs, breaker.openMs * 2 ^ math.min(20, gate.opened or 0))
  health.open(name, math.max(openMs, atLeastMs), 'failure')
  return true
end
