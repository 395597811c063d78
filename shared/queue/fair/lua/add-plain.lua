--[[
  Adds a job that has no parent, no deduplication and no scheduler, and of which nobody reads events, straight into its
  lane: what add.lua does, with the few commands such a job needs. Refused as a whole while Redis is out of memory.

  KEYS   as named in fair-scripts.ts
  ARGV   jobId ('': the next number), name, timestamp, data, packedOptions (as BullMQ packs them), the ticket's parts
  Reply  job id
  Cost   O(log lanes + log jobs of the lane)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "entries"

local sequence = call('INCR', key.id)
local jobId = arg.newJobId == '' and tostring(sequence) or arg.newJobId
local jobKey = key.jobPrefix .. jobId
if arg.newJobId ~= '' and call('EXISTS', jobKey) == 1 then return jobId end

local options = cmsgpack.unpack(arg.packedOptions)
local dueMs = tonumber(arg.arrivalMs) or nowMs
if arg.deadlineMs ~= '' then dueMs = math.max(0, tonumber(arg.deadlineMs) - pool.read().config.deadlineLeadMs) end
local ticket = {
  sequence = sequence, class = tonumber(arg.class), dueSeconds = math.floor(dueMs / 1000), tenant = arg.tenant,
  input = tonumber(arg.input), output = tonumber(arg.output), max = tonumber(arg.max),
}
local priority = options['priority'] or 0
call('HMSET', jobKey, 'name', arg.name, 'data', arg.data, 'opts', cjson.encode(options), 'timestamp', arg.timestamp,
  'delay', '0', 'priority', textOf(priority), 'ticket', entries.formatTicket(ticket))
local blockedUntil = entries.enterLane(jobId, ticket, priority)
if pool.loaded then pool.write() end

-- While a head waits for its ceilings, an idle worker need only know until when.
local meta = call('HMGET', key.meta, 'paused', 'concurrency')
if not meta[1] and not (meta[2] and call('LLEN', key.active) >= tonumber(meta[2])) then
  if blockedUntil > nowMs then call('ZADD', key.marker, blockedUntil, '2') else call('ZADD', key.marker, '0', '0') end
end
return jobId
