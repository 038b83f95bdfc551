/**
 * Which generation is in force: `current.json` of the data folder. Replacing it is the one atomic switch of the store.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from './files.ts'

const FORMAT = 1

/** What the data folder holds. */
export interface Current {
  /** The generation's file, in the data folder. */
  readonly file: string
  /** The day that the data shows, `YYYY-MM-DD`, as the feed tells it. */
  readonly asOf: string
  /** When the reading of that feed began, in milliseconds since 1970: the data is at least as new. */
  readonly syncedAtMs: number
  readonly products: number
  /** The file's length. */
  readonly bytes: number
}

/** The path of the file that names the current generation. */
export function currentPath(folder: string): string {
  return join(folder, 'current.json')
}

/** What `current.json` says, or null where no sync has finished yet. Throws where the file can't be read or understood. */
export function readCurrent(folder: string): Current | null {
  let text: string
  try {
    text = readFileSync(currentPath(folder), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  return parseCurrent(text)
}

/** Reads the text of `current.json`. Throws an Error where it is none. */
export function parseCurrent(text: string): Current {
  const said = JSON.parse(text) as Partial<Record<string, unknown>>
  const { file, asOf, syncedAtMs, products, bytes } = said
  const isSound =
    said.format === FORMAT &&
    typeof file === 'string' &&
    GENERATION_FILE.test(file) &&
    typeof asOf === 'string' &&
    typeof syncedAtMs === 'number' &&
    typeof products === 'number' &&
    typeof bytes === 'number'
  if (!isSound) throw new Error('current.json is not of this version of the service')
  return { file, asOf, syncedAtMs, products, bytes }
}

/** Puts a generation in force: readers follow within a second. Its file is on disk. */
export function publish(folder: string, current: Current): void {
  replaceFile(currentPath(folder), `${JSON.stringify({ format: FORMAT, ...current }, null, 2)}\n`)
}

const GENERATION_FILE = /^gen-(\d{6,})\.gtin$/

/** The name of the file that follows all those in the folder. */
export function nextGenerationFile(folder: string): string {
  const last = Math.max(0, ...readdirSync(folder).map((name) => Number(GENERATION_FILE.exec(name)?.[1] ?? 0)))
  return `gen-${String(last + 1).padStart(6, '0')}.gtin`
}

/** Where a generation is written until it is whole. */
export function asidePath(folder: string, file: string): string {
  return join(folder, `${file}${ASIDE}`)
}

const ASIDE = '.part'

/** Removes what syncs that were killed had written aside. Only for the one sync that is at work. */
export function removeAsides(folder: string): void {
  for (const name of readdirSync(folder)) if (name.endsWith(ASIDE)) rmSync(join(folder, name), { force: true })
}

/**
 * Removes all generations but the current one and the one before it, which a reader may be about to open, or an operator
 * to go back to. Processes that have a removed file open keep it until they close it.
 */
export function removeOldGenerations(folder: string, current: string): void {
  const older = readdirSync(folder)
    .filter((name) => GENERATION_FILE.test(name) && numberOf(name) < numberOf(current))
    .sort((a, b) => numberOf(b) - numberOf(a))
  for (const name of older.slice(1)) rmSync(join(folder, name), { force: true })
}

function numberOf(name: string): number {
  return Number(GENERATION_FILE.exec(name)?.[1] ?? 0)
}
