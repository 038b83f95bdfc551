/**
 * A Redis that can be read and takes no writes: every instance says so, wherever somebody may look, with what to do, and all is well again
 * when that was done.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { startRedis } from '../support/redis.ts'
import { ask, clusterTable, left, member, setPercent, soon, undo } from './rig.ts'

afterEach(undo)

const run = promisify(execFile)

/** What happens to Redis, what is said then, and what ends it. */
const ROWS: [string, string[], string, string[]][] = [
  [
    'is full',
    ['CONFIG', 'SET', 'maxmemory', '1'],
    'is full (raise its maxmemory)',
    ['CONFIG', 'SET', 'maxmemory', '0'],
  ],
  [
    'is a replica',
    ['REPLICAOF', '127.0.0.1', 'PORT'],
    'is a replica, and takes no writes (name its primary as --cluster-redis)',
    ['REPLICAOF', 'NO', 'ONE'],
  ],
  [
    'has too few replicas',
    ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
    'takes no writes: too few replicas follow it (NOREPLICAS)',
    ['CONFIG', 'SET', 'min-replicas-to-write', '0'],
  ],
  [
    'lets its user only read',
    ['ACL', 'SETUSER', 'ann', '-@write'],
    'says NOPERM (its user needs the rules ~banyan:{shop}:* &banyan:{shop}:* +@connection +@read +@write ',
    ['ACL', 'SETUSER', 'ann', '+@all'],
  ],
]

test.each(ROWS)('Redis %s: each instance says so until it takes writes again', async (_, break_, told, mend) => {
  const redis = await startRedis()
  left.push(() => redis.stop())
  await redis.command('ACL', 'SETUSER', 'ann', 'on', '>secret', '~*', '&*', '+@all')
  const url = `redis://ann:secret@127.0.0.1:${redis.port}`
  const table = await clusterTable()
  const all = [await member(table, url), await member(table, url)]
  await soon(async () => {
    for (const at of all) expect(await setPercent(at, 'a', 1)).toMatchObject({ status: 200, instances: '2/2' })
  })
  const port = String(await freePort())
  await redis.command(...break_.map((word) => (word === 'PORT' ? port : word)))
  for (const at of all) {
    const why = `cluster shop: its Redis ${told}`
    await soon(async () => expect((await ask(at, 'GET', '/readyz')).json.reasons.join('\n')).toContain(why))
    await soon(async () => {
      const { stdout } = await run(process.execPath, [
        'bin/banyan.js',
        'status',
        '--admin',
        `127.0.0.1:${at.adminPort}`,
      ])
      expect(stdout).toContain(`problem: ${why}`)
      expect(stdout).toMatch(/ \* .*not-following/)
    })
    await at.program.line((line) => line.includes(why))
    await soon(async () => {
      const edit = await setPercent(at, 'b', 50)
      expect(edit.status).toBe(503)
      expect(edit.json.detail).toContain(told)
    })
  }
  await redis.command(...mend)
  for (const at of all) {
    await soon(async () => expect((await ask(at, 'GET', '/readyz')).json.reasons).toEqual([]))
    await at.program.line((line) => line.includes('cluster shop: its Redis takes writes again'))
  }
  await soon(async () => expect(await setPercent(all[0]!, 'b', 20)).toMatchObject({ status: 200, instances: '2/2' }))
})
