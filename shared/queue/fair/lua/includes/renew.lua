--[[
  Credentials that were not there before, or have another key by now: nothing that is known of the old key holds for the
  new one, and a pool that already ran does not throw its whole backlog at it.
]]
local function renewCredentials(before, config)
  local known, kept = {}, {}
  for _, credential in ipairs(before.config.credentials) do known[credential.id] = credential end
  for _, credential in ipairs(config.credentials) do
    local old = known[credential.id]
    kept[credential.id] = true
    if not old or old.revision ~= credential.revision then
      if old then health.forget(credential.id) end
      before.ceilings.cooldowns[credential.id] = nil
      if before.ceilings.uses > 0 then health.ramp(credential.id, config.breaker.rampShare, config.breaker.rampMs) end
    end
  end
  for id in pairs(before.health) do
    if not kept[id] and id ~= health.whole then health.forget(id) end
  end
end
