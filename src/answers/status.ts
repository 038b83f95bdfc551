/**
 * The shape of the answer about the instances.
 */
import type { BriefChangeAnswer } from './revisions.ts'

/** `GET /status`. */
export interface StatusAnswer {
  readonly ready: boolean
  readonly reasons: readonly string[]
  readonly revision: number
  /** When the revision was made. Absent from an earlier release, as is `drained`. */
  readonly madeAt?: string | null | undefined
  /** Since when it is in force at this instance: a start counts. */
  readonly appliedAt: string
  readonly author: string | null
  readonly reason: string | null
  readonly cluster: {
    readonly name: string
    readonly revision: number
    /** 0 where this instance has never been one of the cluster. Absent from an earlier release, as is `unreadable`. */
    readonly epoch?: number | undefined
    readonly problem: string | null
    readonly unreadable?: number | undefined
    readonly rampsRunBy: string | null
    /** Absent from an earlier release. */
    readonly followed?:
      | {
          readonly file: string
          readonly drift: string | null
          readonly changes: readonly BriefChangeAnswer[]
        }
      | null
      | undefined
  } | null
  readonly instances: readonly InstanceAnswer[]
  readonly ramps: readonly {
    readonly route: string
    readonly status: string
    readonly percent: number
    readonly why: string
  }[]
  readonly drained?: readonly { readonly upstream: string; readonly server: string }[] | undefined
}

/** One instance. */
export interface InstanceAnswer {
  readonly instance: string | null
  readonly self: boolean
  readonly host: string
  readonly pid: number
  readonly admin: string | null
  readonly version: string
  readonly workers: number
  readonly state: 'in-step' | 'behind' | 'not-following' | 'silent'
  readonly revision: number
  readonly behind: number | null
  readonly startedAt: string | null
  readonly seenSeconds: number
  readonly problem: string | null
  /** Absent from an earlier release. */
  readonly drift?: string | null | undefined
}
