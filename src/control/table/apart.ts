/**
 * Parses, edits and compares table texts on a separate thread, so that large texts do not block the serving thread. Only plain
 * data is returned; the table is compiled from it in small steps.
 */
import { Worker } from 'node:worker_threads'
import type { TableEdit } from '../../rules/language/edit.ts'
import type { Problem, ReadTable } from '../../rules/language/text.ts'
import type { Finding } from '../../rules/values/problem.ts'
import { inTurns } from '../turns.ts'
import { type Checked, type Difference, JOBS, tableSteps } from './apart-jobs.ts'

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
const SMALL = 4_000
/** The thread ends after this time without a job, to free its memory. */
const IDLE_MS = 10_000
/** A job that takes longer is aborted, and its text rejected. */
const PATIENCE_MS = 120_000

/** A job exceeded its limit of time or memory. */
class TooMuch extends Error {}

/**
 * Like `readTable`, without blocking this thread. A text that takes too much time or memory is rejected.
 * @throws {Error} on a bug in banyan
 */
export async function readApart(text: string, fileName: string): Promise<ReadTable> {
  try {
    return await readOf(await apart('check', text, fileName))
  } catch (error) {
    return refused(error, fileName)
  }
}

/** An edited and parsed text, or why the edit is not possible. */
export type EditedTable =
  | { readonly ok: true; readonly text: string; readonly read: ReadTable }
  | { readonly ok: false; readonly message: string }

/**
 * Edits a text and parses the result, without blocking this thread.
 * @throws {Error} on a bug in banyan
 */
export async function editApart(text: string, edit: TableEdit, fileName: string): Promise<EditedTable> {
  try {
    const edited = await apart('edit', text, JSON.stringify(edit), fileName)
    return edited.ok ? { ok: true, text: edited.text, read: await readOf(edited.checked) } : edited
  } catch (error) {
    return { ok: true, text, read: refused(error, fileName) }
  }
}

/**
 * Like `placeFindings`, without blocking this thread.
 * @throws {Error} it takes more time or memory than it may
 */
export function placeApart(findings: readonly Finding[], text: string, fileName: string): Promise<readonly Problem[]> {
  return apart('place', text, JSON.stringify(findings), fileName)
}

/**
 * Compares two texts.
 * @throws {Error} if it takes too much time or memory
 */
export function compareApart(before: string, after: string): Promise<Difference> {
  return apart('compare', before, after)
}

/**
 * The difference between two texts in unified format.
 * @throws {Error} if it takes too much time or memory
 */
export function diffApart(before: string, after: string): Promise<string> {
  return apart('diff', before, after)
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

async function readOf(checked: Checked): Promise<ReadTable> {
  if (!checked.ok) return checked
  const { document, ...rest } = checked
  return { ...rest, table: await inTurns(tableSteps(document)) }
}

function refused(error: unknown, file: string): ReadTable {
  if (!(error instanceof TooMuch)) throw error
  const problem = { file, line: 1, column: 1, pointer: '', message: error.message, severity: 'error' } as const
  return { ok: false, problems: [problem], more: 0 }
}

type Jobs = typeof JOBS

async function apart<Name extends keyof Jobs>(
  name: Name,
  ...args: Parameters<Jobs[Name]>
): Promise<ReturnType<Jobs[Name]>> {
  const size = args.reduce((sum, arg) => sum + arg.length, 0)
  if (size < SMALL) return (JOBS[name] as (...given: readonly string[]) => ReturnType<Jobs[Name]>)(...args)
  return (await THREAD.run(name, args)) as ReturnType<Jobs[Name]>
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
      const deadline = setTimeout(
        () => this.#giveUp(worker, `parsing timed out after ${PATIENCE_MS / 1000} s`),
        PATIENCE_MS,
      )
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
      this.#giveUp(worker, isFull ? 'out of memory while parsing' : `can't be read: ${error.message}`)
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
  #giveUp(worker: Worker, why: string): void {
    if (this.#worker !== worker) return
    this.#worker = null
    void worker.terminate()
    for (const { reject, deadline } of this.#open.values()) {
      clearTimeout(deadline)
      reject(new TooMuch(why))
    }
    this.#open.clear()
  }
}

const THREAD = new Thread()
