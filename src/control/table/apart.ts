/**
 * Parses, edits and compares table texts on a separate thread, so that large texts do not block the serving thread. Only plain
 * data is returned; the table is compiled from it in small steps.
 */
import { Worker } from 'node:worker_threads'
import type { TableChange } from '../../rules/language/changes.ts'
import type { TableEdit } from '../../rules/language/edit.ts'
import type { Problem, Problems, ReadTable, TextFacts } from '../../rules/language/text.ts'
import type { RouteDocument } from '../../rules/table/schema.ts'
import type { Table } from '../../rules/table/table.ts'
import { errorsOf, type Finding, pointerOf } from '../../rules/values/problem.ts'
import { inTurns } from '../turns.ts'
import { type Checked, type Followed, JOBS, type PackedDocument, tableSteps } from './apart-jobs.ts'

/** A job. */
export interface Order {
  readonly id: number
  readonly name: keyof typeof JOBS
  readonly args: readonly string[]
}

/** The result of a job. */
export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | { readonly id: number; readonly ok: false; readonly message: string }

/** Jobs with fewer characters take only a few milliseconds and run on the calling thread. */
export const SMALL = 4_000
/** Jobs with fewer characters do not wait for those with more. */
const PART = 50_000
/** The thread ends after this time without a job, to free its memory. */
const IDLE_MS = 10_000
/** A job that takes longer than this, and a millisecond more for each of so many characters, is aborted. */
const PATIENCE_MS = 120_000
const CHARACTERS_PER_MS = 20

/** A job exceeded its limit of time or memory. */
class TooMuch extends Error {
  /** Whether it was time: a machine that is less busy may do it. */
  readonly isLate: boolean

  constructor(message: string, isLate: boolean) {
    super(message)
    this.isLate = isLate
  }
}

/** A read text: its table with the document that it was compiled from, or why there is none. */
export type ReadApart =
  | (Extract<ReadTable, { ok: true }> & { readonly document: PackedDocument })
  | (Extract<ReadTable, { ok: false }> & { /** It was given up. */ readonly isLate?: boolean })

/**
 * Like `readTable`, without blocking this thread. A text that takes too much time or memory is rejected.
 * @param known a table to take over from what has stayed the same
 * @throws {Error} on a bug in banyan
 */
export async function readApart(text: string, fileName: string, known: Table | null): Promise<ReadApart> {
  try {
    return await readOf(await apart('check', text, fileName), known)
  } catch (error) {
    return refused(error, fileName)
  }
}

/** An edited and parsed text, or why the edit is not possible. */
export type EditedTable =
  | { readonly ok: true; readonly text: string; readonly read: ReadApart }
  | { readonly ok: false; readonly message: string }

/**
 * Edits a text and parses the result, without blocking this thread.
 * @param known as that of `readApart`
 * @throws {Error} on a bug in banyan
 */
export async function editApart(
  text: string,
  edit: TableEdit,
  fileName: string,
  known: Table | null,
): Promise<EditedTable> {
  try {
    const edited = await apart('edit', text, JSON.stringify(edit), fileName)
    return edited.ok ? { ok: true, text: edited.text, read: await readOf(edited.checked, known) } : edited
  } catch (error) {
    return { ok: true, text, read: refused(error, fileName) }
  }
}

/** What was parsed of an excerpt of a text. */
export interface ReadExcerpt {
  readonly ok: true
  readonly text: string
  readonly facts: TextFacts
  readonly routes: readonly RouteDocument[]
  readonly document: PackedDocument
}

/** What is wrong with an excerpt after an edit, as far as that comes of the edit alone. */
export interface RefusedExcerpt extends Problems {
  readonly ok: false
  readonly text: string
}

/**
 * Parses an excerpt, and edits it before if there is something to edit.
 * @returns null where something else is wrong with it: the whole text tells what
 */
export async function excerptApart(
  text: string,
  edit: TableEdit | null,
  fileName: string,
): Promise<ReadExcerpt | RefusedExcerpt | null> {
  try {
    const edited =
      edit === null
        ? { ok: true as const, text, checked: await onThread('check', text, fileName) }
        : await onThread('edit', text, JSON.stringify(edit), fileName)
    if (!edited.ok) return null
    if (!edited.checked.ok) return edit === null ? null : refusedExcerpt(edit, edited.text, edited.checked)
    const { document, warnings, more, numbers, places, lexemes } = edited.checked
    const routes = document.routes.flatMap((piece) => JSON.parse(piece) as RouteDocument[])
    return { ok: true, text: edited.text, facts: { warnings, more, numbers, places, lexemes }, routes, document }
  } catch (error) {
    if (error instanceof TooMuch) return null
    throw error
  }
}

/** Null where errors are of something else, or name other routes: in an excerpt these have other places. */
function refusedExcerpt(edit: TableEdit, text: string, all: Problems): RefusedExcerpt | null {
  const { problems, more } = errorsOf(all)
  const places = (
    edit.kind === 'servers'
      ? [['upstreams', edit.upstream]]
      : (edit.kind === 'routes' ? edit.routes : [edit]).map(({ at }) => ['routes', at])
  ).map(pointerOf)
  const isOfEdit = ({ pointer, message }: Problem): boolean =>
    places.some((place) => pointer === place || pointer.startsWith(`${place}/`)) && !/\broutes\.\d/.test(message)
  return problems.every(isOfEdit) ? { ok: false, text, problems, more } : null
}

/**
 * Like `placeFindings`, without blocking this thread.
 * @throws {Error} it takes more time or memory than it may
 */
export function placeApart(findings: readonly Finding[], text: string, fileName: string): Promise<readonly Problem[]> {
  return apart('place', text, JSON.stringify(findings), fileName)
}

/** The difference between two texts. */
export interface Difference {
  /** To be read once: they are unpacked as they are read. Null if one of the texts is invalid. */
  readonly changes: Iterable<TableChange> | null
  /** In unified format. */
  readonly diff: string
}

/**
 * Compares two texts.
 * @throws {Error} if it takes too much time or memory
 */
export async function compareApart(before: string, after: string): Promise<Difference> {
  const { changes, diff } = await apart('compare', before, after)
  return { changes: changes && changes.values().flatMap((piece) => JSON.parse(piece) as TableChange[]), diff }
}

/**
 * The difference between two texts in unified format.
 * @throws {Error} if it takes too much time or memory
 */
export function diffApart(before: string, after: string): Promise<string> {
  return apart('diff', before, after)
}

/**
 * Compares a file that is followed with the table that is live.
 * @param takesPercents whether the percents of the file count; otherwise those that are live stay
 * @throws {Error} if it takes too much time or memory
 */
export function followApart(file: string, live: string, fileName: string, takesPercents: boolean): Promise<Followed> {
  return apart('follow', file, live, fileName, takesPercents ? 'take' : 'keep')
}

/**
 * A text with the percents that are live; as it is where it is invalid, or can't be edited.
 * @throws {Error} on a bug in banyan
 */
export async function withLiveApart(text: string, live: string): Promise<string> {
  try {
    return await apart('withLive', text, live)
  } catch (error) {
    if (error instanceof TooMuch) return text
    throw error
  }
}

/**
 * Undoes in a text what was changed between two others.
 * @throws {Error} on a bug in banyan
 */
export async function revertApart(
  before: string,
  after: string,
  current: string,
): Promise<ReturnType<typeof JOBS.revert>> {
  try {
    return await apart('revert', before, after, current)
  } catch (error) {
    if (error instanceof TooMuch) return { message: error.message }
    throw error
  }
}

async function readOf(checked: Checked, known: Table | null): Promise<ReadApart> {
  return checked.ok ? { ...checked, table: await inTurns(tableSteps(checked.document, known)) } : checked
}

function refused(error: unknown, file: string): ReadApart {
  if (!(error instanceof TooMuch)) throw error
  const { message, isLate } = error
  const problem = { file, line: 1, column: 1, pointer: '', message, severity: 'error' } as const
  return { ok: false, problems: [problem], more: 0, isLate }
}

type Jobs = typeof JOBS

async function apart<Name extends keyof Jobs>(
  name: Name,
  ...args: Parameters<Jobs[Name]>
): Promise<ReturnType<Jobs[Name]>> {
  if (sizeOf(args) >= SMALL) return await onThread(name, ...args)
  return (JOBS[name] as (...given: readonly string[]) => ReturnType<Jobs[Name]>)(...args)
}

/** As `apart`, however small it is: whoever has a large table has others who wait. */
async function onThread<Name extends keyof Jobs>(
  name: Name,
  ...args: Parameters<Jobs[Name]>
): Promise<ReturnType<Jobs[Name]>> {
  const thread = sizeOf(args) < PART ? QUICK : THREAD
  return (await thread.run(name, args)) as ReturnType<Jobs[Name]>
}

function sizeOf(args: readonly string[]): number {
  return args.reduce((sum, arg) => sum + arg.length, 0)
}

interface Open {
  resolve(value: unknown): void
  reject(error: Error): void
  readonly deadline: NodeJS.Timeout
}

/** One thread, started with the first job. When idle it does not keep the process alive. */
class Thread {
  #worker: Worker | null = null
  readonly #open = new Map<number, Open>()
  #next = 0
  #idle: NodeJS.Timeout | undefined

  /** @throws {TooMuch} if it takes too much time or memory @throws {Error} errors of the job */
  run(name: Order['name'], args: readonly string[]): Promise<unknown> {
    clearTimeout(this.#idle)
    const worker = this.#worker ?? this.#start()
    // Keep the process alive until the answer comes.
    worker.ref()
    return new Promise((resolve, reject) => {
      const id = this.#next++
      const patienceMs = PATIENCE_MS + Math.ceil(sizeOf(args) / CHARACTERS_PER_MS)
      const late = new TooMuch(`parsing timed out after ${Math.round(patienceMs / 1000)} s`, true)
      const deadline = setTimeout(() => this.#giveUp(worker, late), patienceMs)
      this.#open.set(id, { resolve, reject, deadline })
      worker.postMessage({ id, name, args } satisfies Order)
    })
  }

  #start(): Worker {
    // In dist/ the thread's file is JavaScript.
    const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'))
    const worker = new Worker(new URL(`./apart-thread${extension}`, import.meta.url))
    worker.on('message', (answer: Answer) => this.#answered(answer))
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const isFull = error.code === 'ERR_WORKER_OUT_OF_MEMORY'
      const why = isFull ? 'out of memory while parsing' : `can't be read: ${error.message}`
      this.#giveUp(worker, new TooMuch(why, false))
    })
    this.#worker = worker
    return worker
  }

  #answered(answer: Answer): void {
    const open = this.#open.get(answer.id)
    this.#open.delete(answer.id)
    clearTimeout(open?.deadline)
    if (this.#open.size === 0) this.#rest()
    if (answer.ok) open?.resolve(answer.value)
    else open?.reject(new Error(answer.message))
  }

  #rest(): void {
    this.#worker?.unref()
    this.#idle = setTimeout(() => {
      void this.#worker?.terminate()
      this.#worker = null
    }, IDLE_MS).unref()
  }

  /** Terminates the thread and rejects all its jobs; the next job starts a new one. */
  #giveUp(worker: Worker, why: TooMuch): void {
    if (this.#worker !== worker) return
    this.#worker = null
    void worker.terminate()
    for (const { reject, deadline } of this.#open.values()) {
      clearTimeout(deadline)
      reject(why)
    }
    this.#open.clear()
  }
}

const THREAD = new Thread()
/** Excerpts do not wait for whole texts. */
const QUICK = new Thread()
