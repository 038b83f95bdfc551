/**
 * Who runs the ramps of a cluster where instances are cut off from Redis, and where Redis loses what it has.
 */
import { afterEach, expect, test } from 'vitest'
import { RampLease } from '../../src/control/cluster/ramp-lease.ts'
import type { RampDelta } from '../../src/state/evidence/ramp-tally.ts'
import { RedisStateStore } from '../../src/state/redis/state-store.ts'
import { StateError } from '../../src/state/store/store.ts'
import { connectedLink } from '../support/cluster-log.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { Gate, left, soon, undo } from './rig.ts'

afterEach(undo)

/** An instance with a lease, and what it was told to do. */
class Instance {
  readonly gate: Gate
  readonly lease: RampLease
  readonly store: RedisStateStore
  readonly counted: RampDelta[] = []
  /** Called when it is to take over. */
  onTakeOver: () => Promise<void> = async () => {}
  isInStep = true
  takeOvers = 0

  constructor(name: string, gate: Gate, store: RedisStateStore) {
    this.gate = gate
    this.store = store
    this.lease = new RampLease(store, name, async () => this.isInStep)
  }

  start(): void {
    this.lease.start({
      takeOver: async () => {
        this.takeOvers++
        await this.onTakeOver()
      },
      follow: async () => {},
      save: async () => {},
      count: (delta) => void this.counted.push(delta),
      report: async () => {},
    })
  }

  /** Stores a value as the ramps are. @returns why it was refused, or null */
  write(value: string): Promise<string | null> {
    return this.lease
      .fenced()
      .write('ramps', 'a', 'ramp', value)
      .then(
        () => null,
        (error: StateError) => error.fault,
      )
  }
}

async function redisOf(): Promise<RedisServer> {
  const redis = await startRedis()
  left.push(() => redis.stop())
  return redis
}

async function instance(name: string, redis: RedisServer): Promise<Instance> {
  const gate = new Gate(redis.port)
  const url = await gate.open()
  const link = await connectedLink('shop', url, { deadlineMs: 2_000 })
  const one = new Instance(name, gate, new RedisStateStore(link))
  left.push(async () => {
    await one.lease.close()
    await link.close()
  })
  return one
}

const delta = (route: string): RampDelta => ({ route, percent: 20, judged: [1, 0, 5], left: 0 })

test('an instance that was cut off takes the ramps over anew, where another one has run them meanwhile', async () => {
  const redis = await redisOf()
  const [one, two] = await Promise.all([instance('one', redis), instance('two', redis)])
  one.start()
  await soon(async () => expect(one.lease.isOwner).toBe(true))
  expect(await one.write('of one')).toBeNull()
  two.start()
  one.gate.cut()
  await soon(async () => expect(two.lease.isOwner).toBe(true))
  expect(one.lease.isOwner).toBe(false)
  expect(await two.write('of two')).toBeNull()
  await two.lease.close()
  let found = ''
  one.onTakeOver = async () => {
    expect(one.lease.isOwner).toBe(false)
    found = (await one.store.read('ramps', 'a', 'ramp'))?.value ?? ''
  }
  one.gate.heal()
  await soon(async () => expect(one.lease.isOwner).toBe(true))
  expect(found).toBe('of two')
  expect(one.takeOvers).toBe(2)
})

test('whoever has the lease runs the ramps only when it has taken them over, by the newest table', async () => {
  const redis = await redisOf()
  const one = await instance('one', redis)
  one.isInStep = false
  let isFailing = true
  one.onTakeOver = async () => {
    if (isFailing) throw new StateError('failed', 'Redis is away')
  }
  one.start()
  await expect(one.lease.claim()).rejects.toThrow('does not have the newest table')
  expect(one.takeOvers).toBe(0)
  // It keeps nobody else from running them.
  const two = await instance('two', redis)
  await two.lease.claim()
  await two.lease.close()
  one.isInStep = true
  await soon(async () => expect(one.takeOvers).toBeGreaterThan(1))
  expect(one.lease.isOwner).toBe(false)
  isFailing = false
  await soon(async () => expect(one.lease.isOwner).toBe(true))
})

test('what others have counted is heard where Redis was emptied, and no earlier holder writes there', async () => {
  const redis = await redisOf()
  const [one, two] = await Promise.all([instance('one', redis), instance('two', redis)])
  one.start()
  await soon(async () => expect(one.lease.isOwner).toBe(true))
  two.start()
  for (const route of ['a', 'b', 'c']) {
    two.lease.relay(delta(route))
    await soon(async () => expect(one.counted.map((counted) => counted.route)).toContain(route))
  }
  await redis.command('FLUSHALL')
  two.lease.relay(delta('d'))
  const all = (): string[] => [...one.counted, ...two.counted].map(({ route }) => route)
  await soon(async () => expect(all()).toEqual(['a', 'b', 'c', 'd']))
  // Whoever has it now: the other one is the first holder of another lease with the same token.
  await redis.command('FLUSHALL')
  const other = one.lease.isOwner ? two : one
  const held = await other.store.acquire('ramps', 'somebody else', 60_000)
  expect(held.holder).toBe('somebody else')
  expect(await (other === one ? two : one).write('late')).toBe('not-owner')
})

test('what is counted while nobody runs the ramps counts for whoever takes them over, but not what was counted while Redis was away', async () => {
  const redis = await redisOf()
  const one = await instance('one', redis)
  one.lease.relay(delta('a'))
  one.start()
  await soon(async () => expect(one.lease.isOwner).toBe(true))
  expect(one.counted.map(({ route }) => route)).toEqual(['a'])
  one.gate.cut()
  await soon(async () => expect(one.lease.isOwner).toBe(false))
  one.lease.relay(delta('b'))
  one.gate.heal()
  await soon(async () => expect(one.lease.isOwner).toBe(true))
  one.lease.relay(delta('c'))
  expect(one.counted.map(({ route }) => route)).toEqual(['a', 'c'])
})

test.each([
  ['ends in hours, by a clock that was ahead', ['ends', '99999999999999', 'holder', 'gone', 'token', '7']],
  ['is damaged', ['ends', 'soon', 'holder', 'gone', 'token', 'x']],
])('a lease that %s is free after as long as one lasts', async (_, fields) => {
  const redis = await redisOf()
  await redis.command('HSET', 'banyan:{shop}:lease:ramps', ...fields)
  const one = await instance('one', redis)
  one.start()
  await soon(async () => expect(one.lease.isOwner).toBe(true))
  expect(await one.write('of one')).toBeNull()
})
