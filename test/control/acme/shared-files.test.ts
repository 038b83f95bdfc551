/**
 * What an authority has given to a cluster, in a real Redis: who writes it, who can read it, and what a Redis that has lost it gets again.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { FolderFiles } from '../../../src/control/acme/folder.ts'
import { SharedFiles } from '../../../src/control/acme/shared-files.ts'
import { ClusterLink } from '../../../src/state/redis/link.ts'
import { RedisStateStore } from '../../../src/state/redis/state-store.ts'
import { parseRedisUrl, type RedisAddress } from '../../../src/state/redis/url.ts'
import { Gate, undo } from '../../cluster/rig.ts'
import { agedPair } from '../../support/certificates.ts'
import { startRedis } from '../../support/redis.ts'

const redis = await startRedis()
afterAll(() => redis.stop())

const DAY = 86_400_000
const pem = (fromMs: number): string => {
  const { cert, key } = agedPair('shop.test', fromMs, Date.now() + 90 * DAY)
  return cert + key
}
const [earlier, later] = [pem(Date.now() - 2 * DAY), pem(Date.now() - DAY)]
const FILE = 'shop.test.pem'
const FIELD = `4:acme${FILE.length}:${FILE}`

interface Instance {
  readonly files: SharedFiles
  readonly folder: string
  text(): Promise<string | null>
}

/** An instance, with a folder of its own. */
async function instance(
  name: string,
  cluster: string,
  secret = 'a secret of the test',
  url = redis.url,
): Promise<Instance> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-acme-'))
  let link!: ClusterLink
  await new Promise<void>((onReady) => {
    link = new ClusterLink(cluster, {
      ...{ address: parseRedisUrl(url) as RedisAddress, deadlineMs: 5_000, chance: Math.random, onReady },
      ...{ now: () => performance.now(), onUnreadable: () => {}, onFull: () => {}, secrets: [secret] },
    })
  })
  const members = { whereInForce: async () => ({ inForce: 2, instances: 2 }), tell: async () => {} }
  const parts = { name: cluster, instance: name, store: new RedisStateStore(link), members, acme: () => null }
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const files = new SharedFiles(parts, new FolderFiles(folder, () => {}), log, 0)
  onTestFinished(async () => {
    await files.close()
    await link.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return { files, folder, text: async () => (await files.read(FILE))?.toString('latin1') ?? null }
}

test('one instance writes, the others have it, on disk too, and one takes over when it ends', async () => {
  const [one, two] = [await instance('one', 'a'), await instance('two', 'a')]
  await one.files.take()
  await two.files.take()
  expect([one.files.isOwner, two.files.isOwner, two.files.owner]).toEqual([true, false, 'instance one'])
  let news = 0
  two.files.onNews(() => news++)
  await one.files.write(FILE, earlier)
  await expect.poll(() => news).toBe(1)
  expect(await two.text()).toBe(earlier)
  expect(readFileSync(join(two.folder, FILE), 'latin1')).toBe(earlier)
  await expect(two.files.write(FILE, later)).rejects.toThrow('ordered by instance one')
  const challenge = { kind: 'http-01', token: 'a-token', answer: 'an answer' } as const
  await one.files.tell(challenge)
  const heard = await two.files.heard()
  expect(heard).toEqual(challenge)
  expect(await two.files.heard()).toBe(heard)
  await one.files.tell(null)
  expect(await two.files.heard()).toBeNull()
  await one.files.close()
  await two.files.take()
  expect(two.files.isOwner).toBe(true)
})

test('who does not know the secret reads nothing, and what is no record is none', async () => {
  const [one, spy] = [await instance('one', 'b'), await instance('spy', 'b', 'another secret of the test')]
  await one.files.take()
  await one.files.write(FILE, earlier)
  const kept = await redis.command('HGET', 'banyan:{b}:records:acme', FIELD)
  expect(kept).toMatch(/^\$\d+\r\n\[1,/)
  expect(kept).not.toMatch(/KEY|CERT/)
  expect(await spy.text()).toBeNull()
  await redis.command('HSET', 'banyan:{b}:records:acme', FIELD, '[1,2,".xxxx",3]')
  expect(await one.text()).toBe(earlier)
  const other = await instance('two', 'b')
  // Whoever owns it has put it back.
  expect(await other.text()).toBe(earlier)
})

test('an owner that was cut off does not put back what another one has replaced meanwhile', async () => {
  const gate = new Gate(redis.port)
  onTestFinished(undo)
  const one = await instance('one', 'd', 'a secret of the test', await gate.open())
  const two = await instance('two', 'd')
  await one.files.take()
  await one.files.write(FILE, earlier)
  await one.files.write('tried.json', '{}')
  gate.cut()
  await expect.poll(async () => two.files.take().then(() => two.files.isOwner)).toBe(true)
  await two.files.write(FILE, later)
  await two.files.write('tried.json', '{"a":1}')
  await two.files.close()
  gate.heal()
  await expect.poll(() => one.files.isOwner).toBe(true)
  const three = await instance('three', 'd')
  // It has looked at what there is when it has kept that too.
  await expect.poll(() => readFileSync(join(one.folder, 'tried.json'), 'latin1')).toBe('{"a":1}')
  expect(await three.text()).toBe(later)
  expect((await three.files.read('tried.json'))?.toString()).toBe('{"a":1}')
  expect(readFileSync(join(one.folder, FILE), 'latin1')).toBe(later)
})

test('a Redis that is emptied is filled again, and an earlier certificate takes the place of no later one', async () => {
  const [one, two] = [await instance('one', 'c'), await instance('two', 'c')]
  await one.files.take()
  await one.files.write('tried.json', '{}')
  await one.files.write(FILE, earlier)
  const old = (await redis.command('HGET', 'banyan:{c}:records:acme', FIELD)).split('\r\n')[1] as string
  await one.files.write(FILE, later)
  expect(await two.text()).toBe(later)
  await redis.command('HSET', 'banyan:{c}:records:acme', FIELD, old)
  expect(await two.text()).toBe(later)
  await redis.command('FLUSHALL')
  const three = await instance('three', 'c')
  await expect.poll(() => three.text()).toBe(later)
  expect((await three.files.read('tried.json'))?.toString()).toBe('{}')
  await three.files.take()
  expect(three.files.isOwner).toBe(false)
})
