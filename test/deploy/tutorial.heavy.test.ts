/**
 * docs/start/tutorial.md: each command is run, in order, in a copy of the project, and says what the page shows.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { environmentForNpm, PROJECT, textOf } from './project.ts'
import { blocksOf, freePorts, Session } from './session.ts'

const PORTS = ['4001', '4002', '4003', '4004', '8080', '8081']
/** Not part of what a reader has just cloned. */
const LEFT_OUT = ['node_modules', '.git', 'bench', 'test', 'dist', 'coverage', 'my']

const page = textOf('docs/start/tutorial.md')
const blocks = blocksOf(page)
let folder: string
let session: Session

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'banyan-tutorial-'))
  for (const name of readdirSync(PROJECT).filter((one) => !LEFT_OUT.includes(one))) {
    cpSync(join(PROJECT, name), join(folder, name), { recursive: true })
  }
  session = new Session(folder, environmentForNpm(), await freePorts(PORTS))
})

afterAll(async () => {
  await session?.close()
  rmSync(folder, { recursive: true, force: true })
})

test('every port that the page names is one that the test replaces', () => {
  const named = blocks.flatMap(({ commands }) => [...commands.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => port))
  expect([...new Set(named)].toSorted()).toEqual(PORTS)
})

test('every block of the page is typed or shown under one that is', () => {
  expect(page.match(/^```\w+/gm)).toHaveLength(blocks.length + blocks.filter(({ shown }) => shown !== '').length)
})

test.each(blocks)('line $line', async (block) => {
  expect(await session.type(block)).toBe(block.shown)
})

test('nothing is left of it', () => {
  expect(existsSync(join(folder, 'my'))).toBe(false)
})
