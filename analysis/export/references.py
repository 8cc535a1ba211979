"""The publications that a methods paragraph cites, as BibTeX."""

from __future__ import annotations

from collections.abc import Iterable

_ENTRIES = {
    "kim2019": """@inproceedings{kim2019,
  author = {Kim, Byungju and Kim, Hyunwoo and Kim, Kyungsu and Kim, Sungjin and Kim, Junmo},
  title = {Learning Not to Learn: Training Deep Neural Networks with Biased Data},
  booktitle = {CVPR}, year = {2019}, eprint = {1812.10352}, archiveprefix = {arXiv}
}""",
    "ganin2015": """@inproceedings{ganin2015,
  author = {Ganin, Yaroslav and Lempitsky, Victor},
  title = {Unsupervised Domain Adaptation by Backpropagation},
  booktitle = {ICML}, year = {2015}, eprint = {1409.7495}, archiveprefix = {arXiv}
}""",
    "alvi2018": """@inproceedings{alvi2018,
  author = {Alvi, Mohsan and Zisserman, Andrew and Nell{\\aa}ker, Christoffer},
  title = {Turning a Blind Eye: Explicit Removal of Biases and Variation from Deep Neural Network Embeddings},
  booktitle = {ECCV Workshops}, year = {2018}, eprint = {1809.02169}, archiveprefix = {arXiv}
}""",
    "sagawa2020": """@inproceedings{sagawa2020,
  author = {Sagawa, Shiori and Koh, Pang Wei and Hashimoto, Tatsunori B. and Liang, Percy},
  title = {Distributionally Robust Neural Networks for Group Shifts},
  booktitle = {ICLR}, year = {2020}, eprint = {1911.08731}, archiveprefix = {arXiv}
}""",
    "idrissi2022": """@inproceedings{idrissi2022,
  author = {Idrissi, Badr Youbi and Arjovsky, Martin and Pezeshki, Mohammad and Lopez-Paz, David},
  title = {Simple Data Balancing Achieves Competitive Worst-Group-Accuracy},
  booktitle = {CLeaR}, year = {2022}, eprint = {2110.14503}, archiveprefix = {arXiv}
}""",
    "kirichenko2023": """@inproceedings{kirichenko2023,
  author = {Kirichenko, Polina and Izmailov, Pavel and Wilson, Andrew Gordon},
  title = {Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations},
  booktitle = {ICLR}, year = {2023}, eprint = {2204.02937}, archiveprefix = {arXiv}
}""",
    "hong2021": """@inproceedings{hong2021,
  author = {Hong, Youngkyu and Yang, Eunho},
  title = {Unbiased Classification through Bias-Contrastive and Bias-Balanced Learning},
  booktitle = {NeurIPS}, year = {2021}
}""",
    "arjovsky2019": """@misc{arjovsky2019,
  author = {Arjovsky, Martin and Bottou, L{\\'e}on and Gulrajani, Ishaan and Lopez-Paz, David},
  title = {Invariant Risk Minimization}, year = {2019}, eprint = {1907.02893}, archiveprefix = {arXiv}
}""",
    "yao2022": """@inproceedings{yao2022,
  author = {Yao, Huaxiu and Wang, Yu and Li, Sai and Zhang, Linjun and Liang, Weixin and Zou, James and Finn, Chelsea},
  title = {Improving Out-of-Distribution Robustness via Selective Augmentation},
  booktitle = {ICML}, year = {2022}, eprint = {2201.00299}, archiveprefix = {arXiv}
}""",
    "greenfeld2020": """@inproceedings{greenfeld2020,
  author = {Greenfeld, Daniel and Shalit, Uri},
  title = {Robust Learning with the {Hilbert-Schmidt} Independence Criterion},
  booktitle = {ICML}, year = {2020}, eprint = {1910.00270}, archiveprefix = {arXiv}
}""",
    "szekely2007": """@article{szekely2007,
  author = {Sz{\\'e}kely, G{\\'a}bor J. and Rizzo, Maria L. and Bakirov, Nail K.},
  title = {Measuring and Testing Dependence by Correlation of Distances},
  journal = {Annals of Statistics}, volume = {35}, number = {6}, year = {2007}
}""",
    "gretton2012": """@article{gretton2012,
  author = {Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Sch{\\"o}lkopf, Bernhard and
    Smola, Alexander},
  title = {A Kernel Two-Sample Test},
  journal = {JMLR}, volume = {13}, year = {2012}
}""",
    "tartaglione2021": """@inproceedings{tartaglione2021,
  author = {Tartaglione, Enzo and Barbano, Carlo Alberto and Grangetto, Marco},
  title = {{EnD}: Entangling and Disentangling Deep Representations for Bias Correction},
  booktitle = {CVPR}, year = {2021}, eprint = {2103.02023}, archiveprefix = {arXiv}
}""",
    "liu2021": """@inproceedings{liu2021,
  author = {Liu, Evan Zheran and Haghgoo, Behzad and Chen, Annie S. and Raghunathan, Aditi and Koh, Pang Wei and
    Sagawa, Shiori and Liang, Percy and Finn, Chelsea},
  title = {Just Train Twice: Improving Group Robustness without Training Group Information},
  booktitle = {ICML}, year = {2021}, eprint = {2107.09044}, archiveprefix = {arXiv}
}""",
    "nam2020": """@inproceedings{nam2020,
  author = {Nam, Junhyun and Cha, Hyuntak and Ahn, Sungsoo and Lee, Jaeho and Shin, Jinwoo},
  title = {Learning from Failure: Training Debiased Classifier from Biased Classifier},
  booktitle = {NeurIPS}, year = {2020}, eprint = {2007.02561}, archiveprefix = {arXiv}
}""",
    "lecun1998": """@article{lecun1998,
  author = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  title = {Gradient-based learning applied to document recognition},
  journal = {Proceedings of the IEEE}, volume = {86}, number = {11}, pages = {2278--2324}, year = {1998}
}""",
    "bahng2020": """@inproceedings{bahng2020,
  author = {Bahng, Hyojin and Chun, Sanghyuk and Yun, Sangdoo and Choo, Jaegul and Oh, Seong Joon},
  title = {Learning De-biased Representations with Biased Representations},
  booktitle = {ICML}, year = {2020}, eprint = {1910.02806}, archiveprefix = {arXiv}
}""",
    "cheng2017": """@misc{cheng2017,
  author = {Cheng, Jun},
  title = {Brain tumor dataset}, howpublished = {figshare, article 1512427, version 5}, year = {2017}
}""",
    "peretz2020": """@misc{peretz2020,
  author = {Peretz, G.},
  title = {Biases in Machine Learning Models Using Medical Imaging},
  howpublished = {GitHub, galprz/bias-in-medical-imaging}, year = {2020}
}""",
    "he2016": """@inproceedings{he2016,
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title = {Deep Residual Learning for Image Recognition},
  booktitle = {CVPR}, year = {2016}, eprint = {1512.03385}, archiveprefix = {arXiv}
}""",
    "akiba2019": """@inproceedings{akiba2019,
  author = {Akiba, Takuya and Sano, Shotaro and Yanase, Toshihiko and Ohta, Takeru and Koyama, Masanori},
  title = {Optuna: A Next-generation Hyperparameter Optimization Framework},
  booktitle = {KDD}, year = {2019}, eprint = {1907.10902}, archiveprefix = {arXiv}
}""",
    "liaw2018": """@misc{liaw2018,
  author = {Liaw, Richard and Liang, Eric and Nishihara, Robert and Moritz, Philipp and Gonzalez, Joseph E. and
    Stoica, Ion},
  title = {Tune: A Research Platform for Distributed Model Selection and Training},
  year = {2018}, eprint = {1807.05118}, archiveprefix = {arXiv}
}""",
    "li2020": """@inproceedings{li2020,
  author = {Li, Liam and Jamieson, Kevin and Rostamizadeh, Afshin and Gonina, Ekaterina and Ben-tzur, Jonathan and
    Hardt, Moritz and Recht, Benjamin and Talwalkar, Ameet},
  title = {A System for Massively Parallel Hyperparameter Tuning},
  booktitle = {MLSys}, year = {2020}, eprint = {1810.05934}, archiveprefix = {arXiv}
}""",
    "paszke2019": """@inproceedings{paszke2019,
  author = {Paszke, Adam and others},
  title = {PyTorch: An Imperative Style, High-Performance Deep Learning Library},
  booktitle = {NeurIPS}, year = {2019}, eprint = {1912.01703}, archiveprefix = {arXiv}
}""",
    "satterthwaite1946": """@article{satterthwaite1946,
  author = {Satterthwaite, F. E.},
  title = {An Approximate Distribution of Estimates of Variance Components},
  journal = {Biometrics Bulletin},
  volume = {2},
  number = {6},
  pages = {110--114},
  year = {1946},
}""",
    "wilson1927": """@article{wilson1927,
  author = {Wilson, Edwin B.},
  title = {Probable Inference, the Law of Succession, and Statistical Inference},
  journal = {Journal of the American Statistical Association},
  volume = {22},
  number = {158},
  pages = {209--212},
  year = {1927},
}""",
    "fieller1954": """@article{fieller1954,
  author = {Fieller, E. C.},
  title = {Some Problems in Interval Estimation},
  journal = {Journal of the Royal Statistical Society, Series B}, volume = {16}, number = {2}, pages = {175--185},
  year = {1954}
}""",
    "holm1979": """@article{holm1979,
  author = {Holm, Sture},
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  journal = {Scandinavian Journal of Statistics}, volume = {6}, number = {2}, pages = {65--70}, year = {1979}
}""",
    "dodge2019": """@inproceedings{dodge2019,
  author = {Dodge, Jesse and Gururangan, Suchin and Card, Dallas and Schwartz, Roy and Smith, Noah A.},
  title = {Show Your Work: Improved Reporting of Experimental Results},
  booktitle = {EMNLP-IJCNLP}, year = {2019}, eprint = {1909.03004}, archiveprefix = {arXiv}
}""",
}
METHODS = {
    "lnl": ("kim2019",),
    "permuted_bias": ("kim2019",),
    "grl": ("ganin2015",),
    "blind_eye": ("alvi2018",),
    "group_dro": ("sagawa2020",),
    "reweight": ("idrissi2022",),
    "resample": ("idrissi2022",),
    "dfr": ("kirichenko2023",),
    "bias_balance": ("hong2021",),
    "irm": ("arjovsky2019",),
    "mixup": ("yao2022",),
    "hsic": ("greenfeld2020",),
    "dcor": ("szekely2007",),
    "mmd": ("gretton2012",),
    "end": ("tartaglione2021",),
    "jtt": ("liu2021",),
    "lff": ("nam2020",),
}
DATA = {
    "coloured_digits": ("lecun1998", "kim2019"),
    "biased_digits": ("lecun1998", "bahng2020"),
    "brain_mri": ("cheng2017", "peretz2020"),
    "brain_phantom": ("peretz2020",),
}


def bibliography(keys: Iterable[str]) -> str:
    """Write the BibTeX entries of the given keys, each once, in their order.

    Args:
        keys: Keys of this module's entries.

    Returns:
        The text of a ``.bib`` file.

    Example:
        >>> bibliography(["cheng2017", "kim2019", "cheng2017"]).count("@")
        2
        >>> print(bibliography(["cheng2017"]).splitlines()[0])
        @misc{cheng2017,
    """
    return "\n\n".join(_ENTRIES[key] for key in dict.fromkeys(keys)) + "\n"
