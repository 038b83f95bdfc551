/**
 * Half a minute of what wears a proxy down: aborts, upgrades, slow readers, upstream restarts. `npm run bench -- soak` is the long one.
 */
import { expect, test } from 'vitest'
import { Stage } from '../../bench/harness/stage.ts'
import { soak } from '../../bench/soak.ts'

test('after half a minute of churn, sockets and heap are where they were, and no client saw what should not be', async () => {
  const stage = new Stage()
  try {
    const soaked = await soak(stage, { seconds: 30, warmUpSeconds: 10, progress: () => {} })
    expect(soaked.failures).toEqual([])
    expect(soaked.restarts).toBeGreaterThan(3)
  } finally {
    await stage.close()
  }
})
