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
--- @include "lanes"
--- @include "bullmq:deduplicateJob"
--- @include "bullmq:storeJob"
--- @include "bullmq:getOrSetMaxEvents"
--- @include "bullmq:handleDuplicatedJob"
--- @include "bullmq:isQueuePausedOrMaxed"

local args = cmsgpack.unpack(packedArgs)
local options = cmsgpack.unpack(packedOptions)
local parentKey, parentDependenciesKey, parent = args[5], args[6], args[7]
local repeatJobKey, deduplicationKey, timestamp = args[8], args[9], args[4]
local parentData
if parentKey ~= nil then
  if rcall('EXISTS', parentKey) ~= 1 then return -5 end
  parentData = cjson.encode(parent)
end

local sequence = rcall('INCR', idKey)
local jobId = args[2] == '' and tostring(sequence) or args[2]
local jobKey = jobKeyPrefix .. jobId
local maxEvents = mutedEvents == '1' and 0 or getOrSetMaxEvents(metaKey)
if args[2] ~= '' and rcall('EXISTS', jobKey) == 1 then
  return handleDuplicatedJob(jobKey, jobId, parentKey, parent, parentData, parentDependenciesKey, completedKey,
    eventsKey, maxEvents, timestamp, args[10])
end
local deduplicatedJobId = deduplicateJob(options['de'], jobId, delayedKey, deduplicationKey, eventsKey, maxEvents,
  args[1], args[3], data, options, parentKey, parentData, parentDependenciesKey, repeatJobKey, timestamp)
if deduplicatedJobId then return deduplicatedJobId end

storeJob(eventsKey, jobKey, jobId, args[3], data, options, timestamp, parentKey, parentData, repeatJobKey)
local ticket = {
  sequence = sequence, input = tonumber(input), output = tonumber(output), max = tonumber(max), tenant = tenant,
  class = tonumber(class), dueSeconds = math.floor((tonumber(arrivalMs) or nowMs) / 1000),
}
if deadlineMs ~= '' then
  local leadMs = readPool().config.deadlineLeadMs
  ticket.dueSeconds = math.max(0, math.floor((tonumber(deadlineMs) - leadMs) / 1000))
end
rcall('HSET', jobKey, 'ticket', formatTicket(ticket))
local blockedUntil = enterLane(jobId, ticket, options['priority'] or 0)
writePool()

-- While a head waits for its ceilings, an idle worker need only know until when.
if not isQueuePausedOrMaxed(metaKey, activeKey) then
  if blockedUntil > nowMs then rcall('ZADD', markerKey, blockedUntil, '2') else rcall('ZADD', markerKey, 0, '0') end
end
rcall('XADD', eventsKey, 'MAXLEN', '~', maxEvents, '*', 'event', 'waiting', 'jobId', jobId)
if parentDependenciesKey ~= nil then rcall('SADD', parentDependenciesKey, jobKey) end
return jobId
