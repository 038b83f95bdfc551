/**
 * What Linux tells about running processes under /proc: CPU time, memory, sockets (proc(5)).
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'

/** The /proc/PID/stat fields after the command name, counted from `state` (field 3) as 0. */
const STATE = 0
const PARENT = 1
const USER_TICKS = 11
const SYSTEM_TICKS = 12
const START_TICKS = 19

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/**
 * CPU time in microseconds that a process and all its descendants have used so far, all threads, user and system.
 * Its grain is a clock tick (10 ms), so measure over seconds. Throws where the process is gone.
 */
export function cpuMicros(pid: number): number {
  let ticks = 0
  for (const each of tree(pid)) {
    const fields = statOf(each)
    if (fields !== null) ticks += Number(fields[USER_TICKS]) + Number(fields[SYSTEM_TICKS])
    else if (each === pid) throw new Error(`process ${pid} is gone`)
  }
  return (ticks / ticksPerSecond) * 1e6
}

/** CPU time in microseconds that the threads of a process have used so far, to the nanosecond; of one thread, where it is named. */
export function threadMicros(pid: number, thread?: number): number {
  const threads = thread === undefined ? readdirSync(`/proc/${pid}/task`) : [thread]
  let nanos = 0
  for (const each of threads) {
    try {
      nanos += Number(readFileSync(`/proc/${pid}/task/${each}/schedstat`, 'utf8').split(' ')[0])
    } catch {
      // It has ended since the listing.
    }
  }
  return nanos / 1000
}

/** Microseconds that a core has been busy with any process so far, or was taken away by the hypervisor. */
export function coreBusyMicros(core: number): number {
  const line = new RegExp(`^cpu${core} (.+)$`, 'm').exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? ''
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = line.split(' ').map(Number)
  return ((user + nice + system + steal) / ticksPerSecond) * 1e6
}

/** Resident memory in bytes of a process and its descendants. */
export function residentBytes(pid: number): number {
  return tree(pid).reduce((sum, each) => sum + statusBytes(each, 'VmRSS'), 0)
}

/** The highest resident memory in bytes of a process and its descendants since it was last reset. */
export function peakResidentBytes(pid: number): number {
  return tree(pid).reduce((sum, each) => sum + statusBytes(each, 'VmHWM'), 0)
}

/** Sets the peak of a process and its descendants back to what they hold now. */
export function resetPeakResident(pid: number): void {
  for (const each of tree(pid)) writeFileSync(`/proc/${each}/clear_refs`, '5')
}

/** How many sockets a process (without its children) holds open. */
export function openSockets(pid: number): number {
  let sockets = 0
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')) sockets++
    } catch {
      // Closed between the listing and the look.
    }
  }
  return sockets
}

/** A process and all its descendants. */
export function tree(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    const each = Number(entry)
    if (!Number.isInteger(each)) continue
    const parent = Number(statOf(each)?.[PARENT] ?? -1)
    const siblings = children.get(parent)
    if (siblings) siblings.push(each)
    else children.set(parent, [each])
  }
  const found = [pid]
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i] as number) ?? []))
  return found
}

/** A process that is not mistaken for a later one of the same number. */
export interface Identity {
  readonly pid: number
  /** When it started, in clock ticks since boot. */
  readonly startTicks: string
}

/** A process and all its descendants, by number and start. */
export function family(pid: number): Identity[] {
  return tree(pid).flatMap((each) => {
    const startTicks = statOf(each)?.[START_TICKS]
    return startTicks === undefined ? [] : [{ pid: each, startTicks }]
  })
}

/** Whether that very process still runs; one that only waits to be collected by its parent does not. */
export function isRunning({ pid, startTicks }: Identity): boolean {
  const fields = statOf(pid)
  return fields !== null && fields[START_TICKS] === startTicks && fields[STATE] !== 'Z'
}

/** The first two cores this process may run on; the same one twice where there is only one. */
export function twoCores(): { readonly proxy: number; readonly load: number } {
  const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
  const cores = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
  const proxy = cores[0] ?? 0
  return { proxy, load: cores[1] ?? proxy }
}

function statOf(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command name stands in parentheses and may hold anything, so count from the last one.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

function statusBytes(pid: number, field: string): number {
  try {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return Number(line?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
