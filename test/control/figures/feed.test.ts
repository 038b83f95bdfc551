/**
 * The stream of what moves: a revision is told as it comes, not with the next second.
 */
import { onTestFinished, test, vi } from 'vitest'
import { Feed } from '../../../src/control/figures/feed.ts'
import { Planes } from '../../../src/control/figures/planes.ts'
import { readTable } from '../../../src/rules/language/text.ts'
import type { Table } from '../../../src/rules/table/table.ts'
import { LiveTable } from '../../../src/state/live-table.ts'
import { TABLE } from '../rig.ts'

function tableOf(text: string): Table {
  const read = readTable(text, 'routes.yaml')
  if (!read.ok) throw new Error('the table is invalid')
  return read.table
}

test('a revision is told as soon as it is in force, one that comes during a look too', async () => {
  // No second passes in this test.
  vi.useFakeTimers({ toFake: ['setInterval'] })
  onTestFinished(() => void vi.useRealTimers())
  const live = new LiveTable(tableOf(TABLE), TABLE, 1000)
  const feed = new Feed({ live, planes: new Planes(), ramps: () => new Map(), now: () => 2000 })
  const stream = feed.watch()
  if (stream === null) throw new Error('no stream')
  onTestFinished(() => void stream.destroy())
  const told: number[] = []
  let hear = (): void => {}
  stream.on('data', (line: Buffer) => {
    told.push(JSON.parse(String(line)).revision)
    hear()
  })
  // Not expect.poll, which moves such a clock on.
  const until = async (revision: number): Promise<void> => {
    while (told.at(-1) !== revision) {
      await new Promise<void>((resolve) => {
        hear = resolve
      })
    }
  }
  await until(1)
  live.apply(tableOf(TABLE), TABLE, 3000)
  live.apply(tableOf(TABLE), TABLE, 3001)
  await until(3)
})
