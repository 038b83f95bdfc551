/**
 * Batches, runs and the merge against a naive model: a map that changes are put into one after the other.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Dictionary } from '../../gtin-service/store/dictionary.ts'
import { Generation } from '../../gtin-service/store/generation.ts'
import { GenerationWriter } from '../../gtin-service/store/generation-writer.ts'
import { merge } from '../../gtin-service/sync/merge.ts'
import { type Action, Batch, KEEP, PUT, REMOVE, RunCursor } from '../../gtin-service/sync/runs.ts'
import { folder } from './feed.ts'

/** A change of a product whose record is one byte, or as long as its value says. */
const change = fc.record({
  key: fc.oneof(fc.nat(30), fc.constantFrom(2 ** 32 + 5, 99_999_999_999_999)),
  action: fc.constantFrom<Action>(PUT, PUT, PUT, REMOVE, KEEP),
  value: fc.oneof(fc.nat(255), fc.integer({ min: 256, max: 3_000 })),
})
type Change = { readonly key: number; readonly action: Action; readonly value: number }

const recordOf = (value: number): Buffer => Buffer.alloc(Math.max(1, value - 255), value & 255)

function fileOf(path: string, records: ReadonlyMap<number, number>): void {
  const writer = new GenerationWriter(path)
  for (const [key, value] of [...records].sort(([a], [b]) => a - b)) {
    const bytes = recordOf(value)
    writer.add(key, bytes, 0, bytes.length)
  }
  writer.finish(new Dictionary())
}

function runsOf(path: string, batches: readonly (readonly Change[])[], onDuplicate: () => void): RunCursor[] {
  return batches.map((changes, i) => {
    const batch = new Batch()
    for (const { key, action, value } of changes) {
      const bytes = recordOf(value)
      if (action === PUT) batch.records.copy(bytes, 0, bytes.length)
      batch.add(key, action)
    }
    const entries = batch.takeSorted(batch.size, onDuplicate)
    expect(batch.size).toBe(0)
    writeFileSync(`${path}-${i}`, entries.bytes)
    return new RunCursor(`${path}-${i}`, entries.bytes.length)
  })
}

test('a merge gives what one change after the other would', async () => {
  const place = folder()
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(change, { maxLength: 40 }), { maxLength: 4 }),
      fc.option(fc.dictionary(fc.nat(30).map(String), fc.nat(1_000)), { nil: null }),
      fc.boolean(),
      async (batches, before, full) => {
        const base = new Map(Object.entries(before ?? {}).map(([key, value]) => [Number(key), value]))
        const last = new Map<number, Change>()
        let replaced = 0
        for (const one of batches.flat()) {
          const earlier = last.get(one.key)
          if (earlier !== undefined && one.action === KEEP) continue
          if (earlier !== undefined && earlier.action !== KEEP) replaced++
          last.set(one.key, one)
        }
        const expected = full ? new Map<number, number>() : new Map(base)
        for (const { key, action, value } of last.values()) {
          const was = base.get(key)
          if (action === PUT) expected.set(key, value)
          else if (action === REMOVE) expected.delete(key)
          else if (was !== undefined) expected.set(key, was)
        }
        const basePath = join(place, 'base')
        fileOf(basePath, base)
        const generation = before === null ? null : await Generation.open(basePath)
        let duplicates = 0
        const onDuplicate = () => void duplicates++
        const runs = runsOf(join(place, 'run'), batches, onDuplicate)
        const writer = new GenerationWriter(join(place, 'merged'))
        const counts = await merge({ base: generation, runs, full, writer, onDuplicate, onStep: () => {} })
        writer.finish(new Dictionary())
        for (const run of runs) run.close()
        await generation?.close()

        const merged = await Generation.open(join(place, 'merged'))
        const records = merged.records()
        const found = new Map<number, Buffer>()
        while (records.next()) found.set(records.key, Buffer.from(records.bytes.subarray(records.start, records.end)))
        await merged.close()
        expect([...found]).toEqual(
          [...expected].sort(([a], [b]) => a - b).map(([key, value]) => [key, recordOf(value)]),
        )
        expect(duplicates).toBe(replaced)
        expect(base.size + counts.added - counts.removed).toBe(expected.size)
        const changed = [...base].filter(([key, value]) => expected.has(key) && expected.get(key) !== value)
        expect(counts.changed).toBeGreaterThanOrEqual(changed.filter(([, value]) => value < 256).length)
      },
    ),
    { numRuns: 150 },
  )
})

test('changes that are not yet sure can be forgotten, and a part can be taken', () => {
  const batch = new Batch()
  for (const key of [5, 3, 9, 1]) {
    batch.records.byte(key)
    batch.add(key, PUT)
  }
  batch.cutTo(3)
  const first = batch.takeSorted(2, () => {})
  expect([first.firstKey, first.lastKey, batch.size]).toEqual([3, 5, 1])
  const rest = batch.takeSorted(1, () => {})
  expect([rest.firstKey, rest.lastKey, rest.bytes.at(-1)]).toEqual([9, 9, 9])
})
