/**
 * The state of a run on disk, in the data folder's `sync/`: its changes so far and from where to go on. A run that was
 * killed at any moment goes on from its last commit.
 *
 * Files of changes only grow, and `state.json`, which is replaced as a whole, says how much of them counts: what a crash
 * left behind that is cut off before the file grows again.
 */
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { gtinText } from '../gtin.ts'
import { Dictionary } from '../store/dictionary.ts'
import { replaceFile } from '../store/files.ts'
import { writeAll } from '../store/generation-writer.ts'
import { type Batch, RunCursor, type SortedEntries } from './runs.ts'
import { countRejected, emptyTally, type Tally } from './tally.ts'

const FORMAT = 1

/** What a run is for. It goes on only where all of it is as before. */
export interface Plan {
  /** The feed, without a password. */
  readonly from: string
  /** First day of change, `YYYY-MM-DD`; null for all products. */
  readonly since: string | null
  /** The generation that the changes are for; null where there is none. */
  readonly base: string | null
}

interface RunFile {
  readonly file: string
  readonly bytes: number
  readonly lastKey: number
}

/** All that is known of a run after a commit. */
export interface State {
  readonly plan: Plan
  readonly startedAtMs: number
  /** From where to go on; null at the beginning and at the end. */
  readonly cursor: string | null
  /** The day that the data shows; null until the feed was read to its end. */
  readonly asOf: string | null
  readonly runs: readonly RunFile[]
  readonly dictionaryBytes: number
  readonly tally: Tally
}

/** The run in a data folder. */
export class Work {
  readonly dictionary: Dictionary
  readonly #folder: string
  #state: State
  /** Entries of the dictionary that are on disk. */
  #saved: number

  private constructor(folder: string, state: State, dictionary: Dictionary, saved: number) {
    this.#folder = folder
    this.#state = state
    this.dictionary = dictionary
    this.#saved = saved
  }

  /** Begins a run, and forgets whatever an older one left. The dictionary goes on from the one given. */
  static begin(data: string, plan: Plan, startedAtMs: number, dictionary: Dictionary): Work {
    Work.discard(data)
    const folder = workFolder(data)
    mkdirSync(folder, { recursive: true })
    const state: State = {
      plan,
      startedAtMs,
      cursor: null,
      asOf: null,
      runs: [],
      dictionaryBytes: 0,
      tally: emptyTally(),
    }
    const work = new Work(folder, state, dictionary, 0)
    work.#save()
    return work
  }

  /** The run that stopped before its end, or null where there is none for this plan, or it is damaged. */
  static resume(data: string, plan: Plan): Work | null {
    const folder = workFolder(data)
    try {
      const { format, ...state } = JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8')) as State & {
        format: number
      }
      if (format !== FORMAT || JSON.stringify(state.plan) !== JSON.stringify(plan)) return null
      if (state.runs.some(({ file, bytes }) => statSync(join(folder, file)).size < bytes)) return null
      const texts = readFileSync(join(folder, DICTIONARY_FILE)).subarray(0, state.dictionaryBytes)
      if (texts.length < state.dictionaryBytes) return null
      const dictionary = Dictionary.readLines(texts.toString())
      return new Work(folder, state, dictionary, dictionary.size)
    } catch (error) {
      // No state, or one that a disk damaged: there is nothing to go on from, and the feed has it all.
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  /** Forgets the run in a data folder. */
  static discard(data: string): void {
    rmSync(workFolder(data), { recursive: true, force: true })
  }

  get state(): State {
    return this.#state
  }

  /**
   * Takes the first `size` changes of the batch over, and what is known after them. On disk when it returns. Throws node's
   * system error; the state before it then still counts.
   */
  commit(batch: Batch, size: number, after: Pick<State, 'cursor' | 'asOf' | 'tally'>): void {
    const entries = batch.takeSorted(size, (key) => countRejected(after.tally, 'duplicate', gtinText(key)))
    const runs = entries.bytes.length === 0 ? this.#state.runs : this.#append(entries)
    const { cursor, asOf } = after
    this.#state = { ...this.#state, cursor, asOf, runs, tally: structuredClone(after.tally) }
    this.#save()
  }

  /** Cursors over the changes, older runs first. The caller closes them. */
  cursors(): RunCursor[] {
    return this.#state.runs.map(({ file, bytes }) => new RunCursor(join(this.#folder, file), bytes))
  }

  #append(entries: SortedEntries): RunFile[] {
    const { runs } = this.#state
    const last = runs.at(-1)
    const goesOn = last !== undefined && last.lastKey < entries.firstKey
    const file = goesOn ? last.file : `run-${String(runs.length + 1).padStart(4, '0')}`
    append(join(this.#folder, file), goesOn ? last.bytes : 0, entries.bytes)
    const grown = { file, bytes: (goesOn ? last.bytes : 0) + entries.bytes.length, lastKey: entries.lastKey }
    return [...(goesOn ? runs.slice(0, -1) : runs), grown]
  }

  #save(): void {
    const texts = Buffer.from(this.dictionary.linesFrom(this.#saved))
    const path = join(this.#folder, DICTIONARY_FILE)
    append(path, this.#state.dictionaryBytes, texts)
    this.#saved = this.dictionary.size
    this.#state = { ...this.#state, dictionaryBytes: this.#state.dictionaryBytes + texts.length }
    replaceFile(join(this.#folder, 'state.json'), `${JSON.stringify({ format: FORMAT, ...this.#state })}\n`)
  }
}

const DICTIONARY_FILE = 'dictionary'

function workFolder(data: string): string {
  return join(data, 'sync')
}

/** Puts bytes behind the first `length` bytes of a file, and waits until they are on disk. */
function append(path: string, length: number, bytes: Buffer): void {
  const fd = openSync(path, 'a')
  try {
    // A crash may have left more in it than its last commit knows of, or the whole file.
    cutTo(fd, length)
    writeAll(fd, bytes)
    fsyncSync(fd)
  } catch (error) {
    // Half of it is of no use, and the disk may be full of it.
    cutTo(fd, length)
    throw error
  } finally {
    closeSync(fd)
  }
}

/** What has no length, such as a device, is left alone. */
function cutTo(fd: number, length: number): void {
  if (fstatSync(fd).size > length) ftruncateSync(fd, length)
}
