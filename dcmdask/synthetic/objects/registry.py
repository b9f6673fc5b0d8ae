"""Take a modality; give what builds its template. One line a modality."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from dcmdask.synthetic.objects.ct import build_ct
from dcmdask.synthetic.objects.mr import build_mr
from dcmdask.synthetic.objects.pt import build_pt
from dcmdask.synthetic.objects.rtdose import build_rtdose
from dcmdask.synthetic.objects.rtplan import build_rtplan
from dcmdask.synthetic.objects.rtstruct import build_rtstruct
from dcmdask.synthetic.objects.seg import build_seg
from dcmdask.synthetic.objects.sr import build_sr
from dcmdask.synthetic.plan import Plan

BUILDERS: Final[Mapping[str, Callable[[Plan], dict[str, object]]]] = MappingProxyType(
    {
        "CT": build_ct,
        "PT": build_pt,
        "MR": build_mr,
        "SEG": build_seg,
        "RTSTRUCT": build_rtstruct,
        "RTPLAN": build_rtplan,
        "RTDOSE": build_rtdose,
        "SR": build_sr,
    }
)
