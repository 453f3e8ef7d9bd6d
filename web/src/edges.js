// Counts of an edge at a threshold and under a rule (definitions 11), from what flow.json has of each.

/** The thresholds that any edge was counted at, ascending. */
export const thresholdsOf = (edges) => (
  [...new Set(edges.flatMap((e) => e.thresholds.map((t) => t.threshold)))].sort((a, b) => a - b));

/** The counted threshold that an address names, or null: the report's own. */
export function thresholdAt(flow, text) {
  const tau = thresholdsOf(flow.family).find((t) => Math.abs(t - Number(text ?? NaN)) < 1e-9);
  return tau === undefined || Math.abs(tau - flow.threshold) < 1e-9 ? null : tau;
}

const near = (rows, tau) => rows?.find((row) => Math.abs(row.threshold - tau) < 1e-9);

/** Features that chance gives a match at the report's own threshold; null where it is not known. */
function chance(e, side) {
  const shifted = e.nulls.find((n) => n.null === 'shifted_rows');
  if (shifted) return shifted[side === 'parent' ? 'a' : 'b'].null_matched;
  return side === 'parent' ? e.permuted ?? null : null;
}

/**
 * The edge as it is at tau; oneToOne counts pairs of a maximum-weight matching in place of features with
 * any match. Ceilings are of "exists" only, and chance is known at the report's own threshold only:
 * both (and permuted) are null elsewhere. own: whether the lists of features are those of this view.
 */
export function edgeAt(e, tau, oneToOne) {
  const row = near(e.thresholds, tau);
  if (!row) return { ...e, own: true, ceiling_parent: null, ceiling_child: null, chance_parent: null, chance_child: null };
  const own = row.own && !oneToOne;
  const count = (side) => (oneToOne ? row.one_to_one : row[`persisting_${side}`]);
  const ceiling = (side) => {
    const share = oneToOne ? null : near(e.verdict?.[side].thresholds, tau)?.ceiling;
    return Number.isFinite(share) ? share * e[`measurable_${side}`] : null;
  };
  return {
    ...e, own,
    persisting_parent: count('parent'), persisting_child: count('child'), one_to_one: row.one_to_one,
    disappearing: e.measurable_parent - count('parent'), emerging: e.measurable_child - count('child'),
    ceiling_parent: ceiling('parent'), ceiling_child: ceiling('child'),
    permuted: own ? e.permuted : null,
    chance_parent: own ? chance(e, 'parent') : null, chance_child: own ? chance(e, 'child') : null,
  };
}
