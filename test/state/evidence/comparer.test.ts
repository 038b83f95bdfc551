/**
 * Comparisons on a thread: whatever happens to it, each one ends, the next one works, and the process is never held.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Worker } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import { afterEach, expect, test } from 'vitest'
import type { CompareSettings } from '../../../src/rules/evidence/compare.ts'
import { Comparer, type ComparerOptions } from '../../../src/state/evidence/comparer.ts'
import { onException } from '../../../src/wire/exceptions.ts'
import { answer, found, SETTINGS } from '../../rules/evidence/make.ts'

const open: Comparer[] = []
/** All threads that the process has started in this test. */
const threads: Worker[] = []
process.on('worker', (worker) => threads.push(worker))
const running = (): number => threads.filter(({ threadId }) => threadId !== -1).length

let told: unknown[] = []
onException((error) => told.push(error))

afterEach(async () => {
  told = []
  await Promise.all(open.splice(0).map((comparer) => comparer.close()))
  expect(running()).toBe(0)
  threads.length = 0
})

function makeComparer(options?: ComparerOptions): Comparer {
  const comparer = new Comparer(options)
  open.push(comparer)
  return comparer
}

const PATIENT = { patienceMs: 100_000 }
const [one, other] = [answer('{"a":1}'), answer('{"a":2}')]
/** As much as is read: it takes a while, and memory. */
const [largeOne, largeOther] = ['1', '2'].map((value) => answer(`[${`{"a":${value}},`.repeat(90_000)}0]`)) as [
  typeof one,
  typeof one,
]
/** What the thread can't work with. */
const broken = { ...SETTINGS, headers: null } as unknown as CompareSettings

test('compares on the thread, one after the other, and leaves the bodies as they are', async () => {
  const comparer = makeComparer(PATIENT)
  const body = Buffer.from('xx{"a":2}xx').subarray(2, -2)
  const many = await Promise.all(
    [2, 3, 4].map((a) => comparer.compare(answer(`{"a":${a}}`), { ...other, body: new Uint8Array(body) }, SETTINGS)),
  )
  expect(many.map(found)).toEqual([[], ['value /a'], ['value /a']])
  expect(found(await comparer.compare(one, { ...other, body }, SETTINGS))).toEqual(['value /a'])
  expect(body.toString()).toBe('{"a":2}')
  expect(one.body).toHaveLength(7)
})

test('decodes what it compares', async () => {
  const zipped = answer(gzipSync('{"a":1}'), {
    headers: ['Content-Type', 'application/json', 'Content-Encoding', 'gzip'],
  })
  const comparer = makeComparer(PATIENT)
  expect(found(await comparer.compare(zipped, other, SETTINGS))).toEqual(['value /a'])
  const bomb = { ...zipped, body: gzipSync(new Uint8Array(50_000_000)) }
  expect(await comparer.compare(bomb, other, SETTINGS)).toMatchObject({ differences: [], bodyCompared: false })
})

test('what needs no look into bodies needs no thread, and no place in the queue', async () => {
  const comparer = makeComparer({ waiting: 0 })
  expect(await comparer.compare(one, answer('{"a":1}'), SETTINGS)).toMatchObject({
    differences: [],
    bodyCompared: true,
  })
  expect(found(await comparer.compare(one, answer('', { status: 500 }), SETTINGS))).toEqual(['value status'])
  await expect(comparer.compare(one, other, SETTINGS)).rejects.toMatchObject({ fault: 'busy' })
  expect(threads).toEqual([])
})

test('beyond so many that wait it is busy', async () => {
  const comparer = makeComparer({ ...PATIENT, waiting: 2 })
  const taken = [1, 2, 3].map(() => comparer.compare(one, other, SETTINGS))
  await expect(comparer.compare(one, other, SETTINGS)).rejects.toMatchObject({ fault: 'busy' })
  expect((await Promise.all(taken)).map(found)).toEqual([['value /a'], ['value /a'], ['value /a']])
  expect(found(await comparer.compare(one, other, SETTINGS))).toEqual(['value /a'])
})

test('an exception in the thread ends that comparison only', async () => {
  const comparer = makeComparer(PATIENT)
  const outcomes = await Promise.allSettled([
    comparer.compare(one, other, broken),
    comparer.compare(one, other, broken),
    comparer.compare(one, other, { ...SETTINGS, headers: [(() => undefined) as unknown as string] }),
    comparer.compare(one, other, SETTINGS),
  ])
  expect(outcomes).toMatchObject([
    { status: 'rejected', reason: { fault: 'failed' } },
    { status: 'rejected', reason: { fault: 'failed' } },
    { status: 'rejected', reason: { fault: 'failed' } },
    { status: 'fulfilled' },
  ])
  // The same failure twice is told once.
  expect(told.map(String)).toEqual([
    expect.stringContaining('comparer-thread'),
    expect.stringContaining('could not be cloned'),
  ])
})

test.each([
  ['objects', (value: number) => `[${'{},'.repeat(196_000)}${value}]`],
  ['numbers', (value: number) => `[${Array.from({ length: 150_000 }, (_, i) => i + value).join()}]`],
  [
    'objects that all differ',
    (value: number) => `[${Array.from({ length: 66_000 }, (_, i) => `{"a":${i + value * 1e6}}`).join()}]`,
  ],
])('as many %s as are read fit the memory of the thread', async (_, bodyOf) => {
  const comparer = makeComparer(PATIENT)
  const [from, to] = [answer(bodyOf(1)), answer(bodyOf(2))]
  expect(await comparer.compare(from, to, SETTINGS)).toMatchObject({ bodyCompared: true, note: null })
})

test('a comparison that takes too long is given up, and the next one has a new thread', async () => {
  const comparer = makeComparer({ patienceMs: 100 })
  await expect(comparer.compare(largeOne, largeOther, SETTINGS)).rejects.toMatchObject({ fault: 'timeout' })
  // On a busy machine a small one may take too long as well.
  await expect.poll(() => comparer.compare(one, other, SETTINGS).then(found, () => null)).toEqual(['value /a'])
  // The one that was given up takes a moment to end.
  await expect.poll(running).toBe(1)
})

test('a thread that dies ends the comparison under way, and those that wait have a new one', async () => {
  const comparer = makeComparer({ ...PATIENT, memoryMb: 16 })
  const dying = comparer.compare(largeOne, largeOther, SETTINGS)
  const next = comparer.compare(one, other, SETTINGS)
  await expect(dying).rejects.toMatchObject({ fault: 'failed', message: expect.stringContaining('memory') })
  expect(found(await next)).toEqual(['value /a'])
})

test('a thread without work ends, and the next comparison starts another one', async () => {
  const comparer = makeComparer({ ...PATIENT, idleMs: 1 })
  for (let round = 1; round <= 3; round++) {
    expect(found(await comparer.compare(one, other, SETTINGS))).toEqual(['value /a'])
    expect(threads).toHaveLength(round)
    await expect.poll(running).toBe(0)
  }
})

test('when it is closed, what is under way and what waits is rejected', async () => {
  const comparer = makeComparer(PATIENT)
  const outcomes = Promise.allSettled([1, 2].map(() => comparer.compare(one, other, SETTINGS)))
  await comparer.close()
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ status: 'rejected', reason: { fault: 'closed' } })
  await expect(comparer.compare(one, other, SETTINGS)).rejects.toMatchObject({ fault: 'closed' })
  await comparer.close()
})

test.each([
  ['idle', `await comparer.compare(answer(1), answer(2), settings); console.log('compared')`, 'compared\n'],
  ['under way', `comparer.compare(answer(1), answer(2), settings).then(() => console.log('compared'))`, ''],
])('the process ends with the thread %s', async (_, then, output) => {
  const module = new URL('../../../src/state/evidence/comparer.ts', import.meta.url)
  const code = `
    import { Comparer } from ${JSON.stringify(module.href)}
    const settings = ${JSON.stringify(SETTINGS)}
    const answer = (a) => ({ status: 200, rawHeaders: [], body: Buffer.from(JSON.stringify({ a })) })
    const comparer = new Comparer({ patienceMs: 100_000 })
    // Nothing else holds the process while it waits for the comparison.
    const held = setInterval(() => undefined, 1_000)
    ${then}
    clearInterval(held)`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code])
  expect(stdout).toBe(output)
})
