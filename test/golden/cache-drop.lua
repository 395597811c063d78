#!lua flags=allow-oom
local entries = KEYS[1]
local index = KEYS[2]
local sizes = KEYS[3]
local total = KEYS[4]
local restFrom = 1
-- cache-drop: forgets answers.
-- KEYS  entries (prefix, completed by a member), index, sizes, total
-- ARGV  rest = members
-- reply {number of answers dropped, blob, …} (names that nothing here names any more)
-- cost  O(members)
local reply = { 0 }
for index_ = restFrom, #ARGV do
  local member = ARGV[index_]
  redis.call('UNLINK', entries .. member)
  reply[1] = reply[1] + redis.call('ZREM', index, member)
  local size, name = string.match(redis.call('HGET', sizes, member) or '', '^(%d+) (.*)$')
  if size then
    redis.call('HDEL', sizes, member)
    redis.call('DECRBY', total, size)
    if name ~= '' then
      reply[#reply + 1] = name
    end
  end
end
return reply
