--[[
  Adds a job straight into its lane: BullMQ's addPrioritizedJob, with the lane in place of its own order. Parents,
  deduplication and duplicates are BullMQ's. Refused as a whole while Redis is out of memory.

  KEYS   as named in fair-scripts.ts
  ARGV   as BullMQ's addPrioritizedJob (packedArgs, data, packedOptions), and the ticket's parts
  Reply  job id; below zero as BullMQ's finished errors
  Cost   O(log lanes + log jobs of the lane)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "entries"
--- @include "bullmq:deduplicateJob"
--- @include "bullmq:storeJob"
--- @include "bullmq:getOrSetMaxEvents"
--- @include "bullmq:handleDuplicatedJob"
--- @include "bullmq:isQueuePausedOrMaxed"

local args = cmsgpack.unpack(arg.packedArgs)
local options = cmsgpack.unpack(arg.packedOptions)
local parentKey, parentDependenciesKey, parent = args[5], args[6], args[7]
local repeatJobKey, deduplicationKey, timestamp = args[8], args[9], args[4]
local parentData
if parentKey ~= nil then
  if call('EXISTS', parentKey) ~= 1 then return -5 end
  parentData = cjson.encode(parent)
end

local sequence = call('INCR', key.id)
local jobId = args[2] == '' and tostring(sequence) or args[2]
local jobKey = key.jobPrefix .. jobId
local maxEvents = arg.mutedEvents == '1' and 0 or getOrSetMaxEvents(key.meta)
if args[2] ~= '' and call('EXISTS', jobKey) == 1 then
  return handleDuplicatedJob(jobKey, jobId, parentKey, parent, parentData, parentDependenciesKey, key.completed,
    key.events, maxEvents, timestamp, args[10])
end
local deduplicatedJobId = deduplicateJob(options['de'], jobId, key.delayed, deduplicationKey, key.events, maxEvents,
  args[1], args[3], arg.data, options, parentKey, parentData, parentDependenciesKey, repeatJobKey, timestamp)
if deduplicatedJobId then return deduplicatedJobId end

storeJob(key.events, jobKey, jobId, args[3], arg.data, options, timestamp, parentKey, parentData, repeatJobKey)
local ticket = {
  sequence = sequence, input = tonumber(arg.input), output = tonumber(arg.output), max = tonumber(arg.max),
  tenant = arg.tenant, class = tonumber(arg.class), dueSeconds = math.floor((tonumber(arg.arrivalMs) or nowMs) / 1000),
}
if arg.deadlineMs ~= '' then
  local leadMs = pool.read().config.deadlineLeadMs
  ticket.dueSeconds = math.max(0, math.floor((tonumber(arg.deadlineMs) - leadMs) / 1000))
end
call('HSET', jobKey, 'ticket', entries.formatTicket(ticket))
local blockedUntil = entries.enterLane(jobId, ticket, options['priority'] or 0)
pool.write()

-- While a head waits for its ceilings, an idle worker need only know until when.
if not isQueuePausedOrMaxed(key.meta, key.active) then
  if blockedUntil > nowMs then call('ZADD', key.marker, blockedUntil, '2') else call('ZADD', key.marker, 0, '0') end
end
rcall('XADD', key.events, 'MAXLEN', '~', maxEvents, '*', 'event', 'waiting', 'jobId', jobId)
if parentDependenciesKey ~= nil then call('SADD', parentDependenciesKey, jobKey) end
return jobId
