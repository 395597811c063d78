#!lua
local replies = KEYS[1]
local message = ARGV[1]
local ttlMs = ARGV[2]
local listMax = ARGV[3]
local restFrom = 4
-- announce: tells one ingress that a job has ended. A hint: the record holds the truth.
-- KEYS  replies
-- ARGV  message, ttlMs, listMax
-- reply 1
-- cost  O(1)
if redis.call('RPUSH', replies, message) > tonumber(listMax) then
  redis.call('LPOP', replies)
end
redis.call('PEXPIRE', replies, ttlMs)
return 1
