/**
 * GET /status: the instances, the revision of each, and who does what.
 */
import { hostname } from 'node:os'
import { isUnderWay } from '../../rules/ramp/plan.ts'
import type { FollowedFile } from '../cluster/followed-file.ts'
import type { Member } from '../cluster/members.ts'
import { type AdminParts, type AdminRouter, answerJson } from '../context.ts'

/** How an instance is. */
export const INSTANCE_STATES = ['in-step', 'behind', 'not-following', 'silent'] as const

/** Adds the resource. */
export function addStatus(router: AdminRouter, parts: AdminParts): void {
  router.get('/status', async (ctx) => {
    await parts.planes.figures()
    const { number, etag, appliedAtMs } = parts.live.current
    const { ready, reasons } = parts.isReady()
    const record = parts.history.get(number)
    answerJson(ctx, {
      ready,
      reasons,
      revision: number,
      etag,
      madeAt: record === undefined ? null : new Date(record.atMs).toISOString(),
      appliedAt: new Date(appliedAtMs).toISOString(),
      author: record?.author ?? null,
      reason: record?.reason ?? null,
      ...(await clusterState(parts)),
      ramps: rampsOf(parts),
      drained: parts.fleet.drained().map(([upstream, server]) => ({ upstream, server })),
    })
  })
}

async function clusterState({ cluster, live, version, workers, address }: AdminParts): Promise<object> {
  if (cluster === undefined) {
    const self = {
      ...{ instance: null, self: true, host: hostname(), pid: process.pid },
      ...{ admin: address?.() ?? null, version: version ?? '' },
      ...{ workers: workers?.().length ?? 0, state: 'in-step', revision: live.current.number, behind: 0 },
      ...{ startedAt: null, seenSeconds: 0, problem: null, drift: null },
    }
    return { cluster: null, instances: [self] }
  }
  const members = await cluster.members.list(true)
  const epoch = Math.max(...members.map((member) => member.epoch))
  const newest = Math.max(...members.filter((one) => one.epoch === epoch).map(({ revision }) => revision))
  return {
    cluster: {
      name: cluster.name,
      epoch,
      revision: newest,
      problem: cluster.problem,
      unreadable: cluster.members.unreadable,
      rampsRunBy: cluster.rampLease.holder,
      followed: followedState(cluster.followed),
    },
    instances: members.map((member) => memberState(member, epoch, newest)),
  }
}

function followedState(followed: FollowedFile | null): object | null {
  if (followed === null) return null
  const { path, drift } = followed
  return { file: path, drift: drift?.why ?? null, ...(drift?.changes ?? { changes: [], more: 0 }) }
}

function memberState(member: Member, epoch: number, newest: number): object {
  const { instance, isSelf, host, pid, admin, version, workers, revision, startedAtMs, ageMs } = member
  const behind = member.epoch === epoch ? newest - revision : null
  return {
    ...{ instance, self: isSelf, host, pid, admin, version, workers },
    state: stateOf(member, behind),
    ...{ revision, behind, startedAt: new Date(startedAtMs).toISOString(), seenSeconds: Math.round(ageMs / 1000) },
    ...{ problem: member.problem, drift: member.drift },
  }
}

function stateOf({ isSilent, problem }: Member, behind: number | null): (typeof INSTANCE_STATES)[number] {
  if (isSilent) return 'silent'
  if (problem !== null) return 'not-following'
  return behind === 0 ? 'in-step' : 'behind'
}

/** Those under way. */
function rampsOf({ ramps }: AdminParts): object[] {
  return ramps.views().flatMap(({ route, record }) => {
    if (record === null || !isUnderWay(record.status)) return []
    const { status, percent, why } = record
    return { route, status, percent, why }
  })
}
